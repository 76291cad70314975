"""Which pool takes which job, and why."""
