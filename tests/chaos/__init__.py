"""Chaos: a real node under seeded faults and seeded clients, and afterwards the books."""
