"""Stand-ins for what accounting needs of others: what a test writes down is what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from suanmesh_accounting.domain.ledger import Move, Standing
from suanmesh_kernel.refusals import Aborted, FailedPrecondition
from suanmesh_store.layout import hold_key


@dataclass(slots=True)
class PaperMesh:
    """`Mesh`: a test writes the fields."""

    keys: dict[str, bytes] = field(default_factory=dict)
    moves: dict[str, Move] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)

    def signing_key(self, site: str) -> bytes | None:
        """A key a test has put there."""
        return self.keys.get(site)

    async def move_of(self, transfer: str) -> Move | None:
        """A transfer a test has put there."""
        return self.moves.get(transfer)

    async def standing(self, placement: str) -> Standing | None:
        """A placement a test has put there."""
        return self.standings.get(placement)


@dataclass(frozen=True, slots=True)
class PaperToken:
    """A key with its lease, 0 where it was detached."""

    value: bytes
    lease_id: int
    mod_revision: int


class PaperTokens:
    """`Tokens`, on leases that a test opens and ends."""

    def __init__(self) -> None:
        self._count = count(1)
        self._leases: set[int] = set()
        self._tokens: dict[str, PaperToken] = {}

    def open_lease(self) -> int:
        """A lease that stands until it is ended."""
        lease_id = next(self._count)
        self._leases.add(lease_id)
        return lease_id

    def end_lease(self, lease_id: int) -> None:
        """Every key on it goes with it."""
        self._leases.discard(lease_id)
        self._tokens = {key: token for key, token in self._tokens.items() if token.lease_id != lease_id}

    def detach(self, placement: str, position: int) -> None:
        """As a commit does it: the key outlives its lease."""
        key = hold_key(placement, "accounting", position)
        self._tokens[key] = PaperToken(self._tokens[key].value, 0, next(self._count))

    async def put(self, placement: str, position: int, value: bytes, lease_id: int) -> tuple[str, int]:
        """Put the key, or find the one that stands."""
        key = hold_key(placement, "accounting", position)
        standing = self._tokens.get(key)
        if standing is not None and standing.lease_id == lease_id:
            return key, standing.mod_revision
        if lease_id not in self._leases:
            raise FailedPrecondition("LEASE_GONE", f"lease {lease_id} is gone")
        if standing is not None:
            raise Aborted("CONFLICT", f"{key} stands on another lease", domain="mesh.suanmesh", name=key)
        self._tokens[key] = PaperToken(value, lease_id, next(self._count))
        return key, self._tokens[key].mod_revision

    async def stands(self, placement: str, position: int) -> bool:
        """Whether the key is there."""
        return hold_key(placement, "accounting", position) in self._tokens

    async def drop(self, placement: str, position: int) -> None:
        """Delete the key."""
        self._tokens.pop(hold_key(placement, "accounting", position), None)
