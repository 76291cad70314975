"""Settings of the transport, `SUANMESH_TRANSPORT_*`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """What the transport is told."""

    resync_s: float = 5.0
    """How often every transfer is looked at again, seconds: the most a lost event can cost."""
    ticket_lifetime_s: float = 86400.0
    """How long a transfer's ticket opens the source's data plane, seconds."""
    read_ticket_lifetime_s: float = 600.0
    """How long a ticket for reading one file lasts, seconds."""
    ended_retention_s: float = 86400.0
    """How long a transfer that has ended stays in etcd before it moves to the archive, seconds."""
