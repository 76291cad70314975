"""Stand-ins for what accounting needs of others: what a test writes down is what they say."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from suanmesh_accounting.domain.ledger import Move, PlacementStatus
from suanmesh_kernel.key_windows import KeyWindow
from suanmesh_kernel.refusals import Aborted, FailedPrecondition, InvalidArgument, Refusal
from suanmesh_store.holds import NewHold, Place


@dataclass(slots=True)
class FakeMesh:
    """`Mesh`: a test writes the fields."""

    keys: dict[str, list[KeyWindow]] = field(default_factory=dict)
    moves: dict[str, Move] = field(default_factory=dict)
    statuses: dict[str, PlacementStatus] = field(default_factory=dict)

    async def signing_keys(self, site: str, wanted: Collection[str]) -> dict[str, KeyWindow]:
        """The keys a test has put there."""
        return {key.key_id: key for key in self.keys.get(site, [])}

    async def move_of(self, transfer: str) -> Move | None:
        """A transfer a test has put there."""
        return self.moves.get(transfer)

    async def standing(self, placements: Collection[str]) -> dict[str, PlacementStatus]:
        """Placements a test has put there."""
        return {name: self.statuses[name] for name in placements if name in self.statuses}


@dataclass(frozen=True, slots=True)
class FakeToken:
    """A token with its attachment, empty where it was confirmed."""

    attachment: str
    number: int


class FakeTokens:
    """`HoldTokens`, on attachments that a test opens and ends."""

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

    async def put_many(self, holds: Sequence[NewHold]) -> list[str | Refusal]:
        """Put the tokens, or find those that stand."""
        return [self._put(hold) for hold in holds]

    def _put(self, hold: NewHold) -> str | Refusal:
        standing = self._tokens.get((hold.placement, hold.index))
        if standing is not None and standing.attachment == hold.attachment:
            return str(standing.number)
        if not hold.attachment:
            return InvalidArgument("FIELD_INVALID", "attachment: '' is not one", field="attachment")
        if hold.attachment not in self._open:
            return FailedPrecondition("HOLD_LAPSED", f"{hold.attachment} is over")
        if standing is not None:
            message = f"{hold.placement} holds with another attachment"
            return Aborted("CONFLICT", message, domain="mesh.suanmesh", name=hold.placement)
        made = self._tokens[hold.placement, hold.index] = FakeToken(hold.attachment, next(self._count))
        return str(made.number)

    async def standing(self, places: Collection[Place]) -> frozenset[Place]:
        """Those of some tokens that are there."""
        return frozenset(place for place in places if place in self._tokens)

    async def drop(self, places: Iterable[Place]) -> None:
        """Delete tokens."""
        for place in places:
            self._tokens.pop(place, None)
