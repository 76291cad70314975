"""Adapters of the `Executor` port: how tasks really run."""
