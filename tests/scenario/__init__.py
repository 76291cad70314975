"""Scenarios: a whole node in one process on virtual time, under faults that a seed chooses."""
