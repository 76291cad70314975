"""Tasks as Jobs of a Kubernetes cluster."""
