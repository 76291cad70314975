"""The registry: which parties, sites and pools there are, and which of them can be heard."""
