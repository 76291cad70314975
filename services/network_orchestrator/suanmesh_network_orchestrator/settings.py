"""Settings of the network orchestrator, `SUANMESH_NETWORK_ORCHESTRATOR_*`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NetworkOrchestratorSettings:
    """What the network orchestrator is told."""

    database: str = ""
    """Where ended reservations lie, as `postgresql://{user}@{host}/{database}`; empty: the data folder."""
    lead_with: str = ""
    """The records to lead with though others led the node before; what the others hold is lost."""
    resync_s: float = 5.0
    """How often every reservation is looked at again, seconds: the most a lost event can cost."""
    probe_lifetime_s: float = 60.0
    """How long a measured round-trip time counts, seconds."""
    released_retention_s: float = 3600.0
    """How long a reservation that was given back stays in etcd before it moves to the archive, seconds."""
