"""Holds as two opaque words: an attachment says what a hold goes with, a token stands for the hold itself.

Only this package knows what is in them: a lease of etcd, and a key with the revision it was created at. Whoever gets a
word passes it on as it came, so that a hold of another node, or of another store, looks the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from suanmesh_kernel.refusals import InvalidArgument, Refusal
from suanmesh_store.layout import HOLDS, hold_key
from suanmesh_store.ports import RoundLease, Store
from suanmesh_store.values import Confirm, Conflict, LeasedKey

Place = tuple[str, int]
"""A placement, and which of its holds."""


def attachment_of(lease: RoundLease) -> str:
    """The word that ties holds to a round: they go when its lease ends."""
    return f"{lease.id:x}"


def confirmed(token: str) -> Confirm:
    """The change that makes a hold last beyond its round; its commit fails where the hold is gone, or is another.

    Raises InvalidArgument (`FIELD_INVALID`) for a word that no store gave out.
    """
    revision, _, path = token.partition("/")
    if not path or not (revision.isascii() and revision.isdigit()):
        raise _invalid("token", token)
    return Confirm(HOLDS + path, int(revision))


@dataclass(frozen=True, slots=True)
class NewHold:
    """A hold to put: the `index`-th of a placement, with a value for whoever reads it."""

    placement: str
    index: int
    value: bytes
    attachment: str


class Holds:
    """The holds that one area puts for placements."""

    def __init__(self, store: Store) -> None:
        """Put them under the area of `store`."""
        self._store = store

    async def put(self, placement: str, index: int, value: bytes, attachment: str) -> str:
        """`put_many` of one. Raises what that answers."""
        [token] = await self.put_many([NewHold(placement, index, value, attachment)])
        if isinstance(token, Refusal):
            raise token
        return token

    async def put_many(self, holds: Sequence[NewHold]) -> list[str | Refusal]:
        """Hold for as long as what `attachment` names; gives the tokens, the same for a hold that stands with it.

        Those of one attachment are put with one transaction. Each is refused by itself: FailedPrecondition
        (`HOLD_LAPSED`), Aborted (`CONFLICT`) where the hold stands with another attachment, InvalidArgument
        (`FIELD_INVALID`) for an attachment that no store gave out, Unavailable as `Store.commit` raises it.
        """
        answers: dict[int, str | Refusal] = {}
        of_lease: dict[int, dict[int, NewHold]] = {}
        for number, hold in enumerate(holds):
            try:
                of_lease.setdefault(_lease_of(hold.attachment), {})[number] = hold
            except InvalidArgument as refusal:
                answers[number] = refusal
        for lease, some in of_lease.items():
            wanted = {self._key(hold.placement, hold.index): hold.value for hold in some.values()}
            put = await self._put(lease, wanted)
            answers |= {number: put[self._key(hold.placement, hold.index)] for number, hold in some.items()}
        return [answers[number] for number in range(len(holds))]

    async def attachment(self, placement: str, index: int) -> str | None:
        """What a hold goes with, empty where it was confirmed; None where it is not there."""
        standing = await self._store.get_token(self._key(placement, index))
        if standing is None:
            return None
        return f"{standing.lease:x}" if standing.lease else ""

    async def standing(self, places: Collection[Place]) -> frozenset[Place]:
        """Those of some holds that are there."""
        keys = {place: self._key(*place) for place in places}
        found = await self._store.get_tokens(keys.values()) if keys else {}
        return frozenset(place for place, key in keys.items() if key in found)

    async def stands(self, placement: str, index: int) -> bool:
        """Whether the hold is there."""
        return bool(await self.standing([(placement, index)]))

    async def drop(self, places: Iterable[Place]) -> None:
        """Give holds back; no harm when one is gone."""
        await self._store.delete_tokens(self._key(*place) for place in places)

    async def _put(self, lease: int, wanted: dict[str, bytes]) -> dict[str, str | Refusal]:
        """By key: the token, or what refused it. What stands already is found when the others are put."""
        answers: dict[str, str | Refusal] = {}
        while left := {key: value for key, value in wanted.items() if key not in answers}:
            try:
                revision = await self._store.put_tokens(left, lease)
            except Conflict as conflict:
                stale = [key for key in conflict.keys if key in left]
                standing = await self._store.get_tokens(stale)
                for key in stale:
                    found = standing.get(key)
                    answers[key] = _token_of(found) if found is not None and found.lease == lease else conflict
                if not stale:
                    return answers | dict.fromkeys(left, conflict)
            except Refusal as refusal:
                return answers | dict.fromkeys(left, refusal)
            else:
                return answers | {key: f"{revision}/{key.removeprefix(HOLDS)}" for key in left}
        return answers

    def _key(self, placement: str, index: int) -> str:
        return hold_key(placement, self._store.area, index)


def _lease_of(attachment: str) -> int:
    try:
        lease = int(attachment, 16)
    except ValueError:
        lease = 0
    if not 0 < lease < 1 << 63:
        raise _invalid("attachment", attachment)
    return lease


def _token_of(standing: LeasedKey) -> str:
    return f"{standing.create_revision}/{standing.key.removeprefix(HOLDS)}"


def _invalid(field: str, given: str) -> InvalidArgument:
    return InvalidArgument("FIELD_INVALID", f"{field}: {given!r} was not given out by this node", field=field)
