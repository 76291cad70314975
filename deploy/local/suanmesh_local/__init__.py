"""A whole node on one machine: etcd, CA, services and sites as real processes."""
