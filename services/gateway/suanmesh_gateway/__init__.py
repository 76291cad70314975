"""The gateway: the one address of a node, and its trace store."""
