"""One site's agent: runs tasks, meters them, keeps replicas, serves the data plane. It connects outward only."""
