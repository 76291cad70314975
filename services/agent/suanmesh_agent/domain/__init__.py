"""The agent's rules, over plain values."""
