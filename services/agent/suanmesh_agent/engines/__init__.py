"""Adapters of the `Engine` port: what tasks really run on."""
