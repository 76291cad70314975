"""Settings of the transport, `SUANMESH_TRANSPORT_*`."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh_transport.domain.caps import Caps


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """What the transport is told."""

    database: str = ""
    """Where datasets lie: `sqlite:///{path}` or `postgresql://{user}@{host}/{database}`; empty: the data folder."""
    lead_with: str = ""
    """The records to lead with though others led the node before; what the others hold is lost."""
    resync_s: float = 5.0
    """How often every transfer is looked at again, seconds: the most a lost event can cost."""
    ticket_lifetime_s: float = 86400.0
    """How long a transfer's ticket opens the source's data plane, and an upload's the target's, seconds."""
    read_ticket_lifetime_s: float = 600.0
    """How long a ticket for reading files lasts, seconds."""
    ended_retention_s: float = 86400.0
    """How long a transfer that has ended stays in etcd before it moves to the archive, seconds."""
    party_datasets_max: int = 20_000
    """Datasets a party may have before its sites may publish no more; what jobs make is not refused."""
    party_transfers_max: int = 5_000
    """Transfers a party's users may have begun that serve no placement and are not archived."""

    party_bytes_max: int = 10 * 2**40
    """Bytes of a party's datasets before it may bring no more; what jobs make is not refused."""

    def caps(self) -> Caps:
        """How much one party may have."""
        return Caps(self.party_datasets_max, self.party_transfers_max, self.party_bytes_max)
