"""Stand-ins for what accounting needs of others: what a test writes down is what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from suanmesh_accounting.domain.ledger import Move, PlacementStatus
from suanmesh_kernel.refusals import Aborted, FailedPrecondition, InvalidArgument


@dataclass(slots=True)
class FakeMesh:
    """`Mesh`: a test writes the fields."""

    keys: dict[str, bytes] = field(default_factory=dict)
    moves: dict[str, Move] = field(default_factory=dict)
    statuses: dict[str, PlacementStatus] = field(default_factory=dict)

    def signing_key(self, site: str) -> bytes | None:
        """A key a test has put there."""
        return self.keys.get(site)

    async def move_of(self, transfer: str) -> Move | None:
        """A transfer a test has put there."""
        return self.moves.get(transfer)

    async def standing(self, placement: str) -> PlacementStatus | None:
        """A placement a test has put there."""
        return self.statuses.get(placement)


@dataclass(frozen=True, slots=True)
class FakeToken:
    """A token with its attachment, empty where it was confirmed."""

    attachment: str
    number: int


class FakeTokens:
    """`Tokens`, on attachments that a test opens and ends."""

    def __init__(self) -> None:
        self._count = count(1)
        self._open: set[str] = set()
        self._tokens: dict[tuple[str, int], FakeToken] = {}

    def open_round(self) -> str:
        """An attachment that stands until it is ended."""
        attachment = f"round-{next(self._count)}"
        self._open.add(attachment)
        return attachment

    def end_round(self, attachment: str) -> None:
        """Every token on it goes with it."""
        self._open.discard(attachment)
        self._tokens = {at: token for at, token in self._tokens.items() if token.attachment != attachment}

    def confirm(self, placement: str, index: int) -> None:
        """As a commit does it: the hold outlives its round."""
        self._tokens[placement, index] = FakeToken("", self._tokens[placement, index].number)

    async def put(self, placement: str, index: int, value: bytes, attachment: str) -> str:
        """Put the token, or find the one that stands."""
        standing = self._tokens.get((placement, index))
        if standing is not None and standing.attachment == attachment:
            return str(standing.number)
        if not attachment:
            raise InvalidArgument("FIELD_INVALID", "attachment: '' is not one", field="attachment")
        if attachment not in self._open:
            raise FailedPrecondition("LEASE_GONE", f"{attachment} is over")
        if standing is not None:
            message = f"{placement} holds with another attachment"
            raise Aborted("CONFLICT", message, domain="mesh.suanmesh", name=placement)
        self._tokens[placement, index] = FakeToken(attachment, next(self._count))
        return str(self._tokens[placement, index].number)

    async def stands(self, placement: str, index: int) -> bool:
        """Whether the token is there."""
        return (placement, index) in self._tokens

    async def drop(self, placement: str, index: int) -> None:
        """Delete the token."""
        self._tokens.pop((placement, index), None)
