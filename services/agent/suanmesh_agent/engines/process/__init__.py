"""Tasks as processes of the agent's own host."""
