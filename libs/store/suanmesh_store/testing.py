"""Stand-ins for tests: the twin in memory passes the contract suite that etcd passes."""

from __future__ import annotations

from suanmesh_store.memory import MemoryKeyspace, MemoryLease, MemoryStore, MemoryTerm

__all__ = ["MemoryKeyspace", "MemoryLease", "MemoryStore", "MemoryTerm"]
