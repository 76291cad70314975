"""The transport: moving data, verified."""
