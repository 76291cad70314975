"""Holds as two opaque words: an attachment says what a hold goes with, a token stands for the hold itself.

Only this package knows what is in them: a lease of etcd, and a key with the revision it was created at. Whoever gets a
word passes it on as it came, so that a hold of another node, or of another store, looks the same.
"""

from __future__ import annotations

from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_store.layout import HOLDS, hold_key
from suanmesh_store.ports import RoundLease, Store
from suanmesh_store.values import Confirm, Token


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


class Holds:
    """The holds that one area puts for placements."""

    def __init__(self, store: Store) -> None:
        """Put them under the area of `store`."""
        self._store = store

    async def put(self, placement: str, index: int, value: bytes, attachment: str) -> str:
        """Hold for as long as what `attachment` names; gives the token, the same for a hold that stands with it.

        Raises FailedPrecondition (`LEASE_GONE`), Aborted (`CONFLICT`) where the hold stands with another attachment,
        InvalidArgument (`FIELD_INVALID`) for an attachment that no store gave out.
        """
        lease, key = _lease_of(attachment), hold_key(placement, self._store.area, index)
        standing = await self._store.get_token(key)
        if standing is not None and standing.lease == lease:
            return _token_of(standing)
        return f"{await self._store.put_token(key, value, lease)}/{key.removeprefix(HOLDS)}"

    async def attachment(self, placement: str, index: int) -> str | None:
        """What a hold goes with, empty where it was confirmed; None where it is not there."""
        standing = await self._store.get_token(hold_key(placement, self._store.area, index))
        if standing is None:
            return None
        return f"{standing.lease:x}" if standing.lease else ""

    async def stands(self, placement: str, index: int) -> bool:
        """Whether the hold is there."""
        return await self.attachment(placement, index) is not None

    async def drop(self, placement: str, index: int) -> None:
        """Give the hold back; no harm when it is gone."""
        await self._store.delete_token(hold_key(placement, self._store.area, index))


def _lease_of(attachment: str) -> int:
    try:
        lease = int(attachment, 16)
    except ValueError:
        lease = 0
    if not 0 < lease < 1 << 63:
        raise _invalid("attachment", attachment)
    return lease


def _token_of(standing: Token) -> str:
    return f"{standing.create_revision}/{standing.key.removeprefix(HOLDS)}"


def _invalid(field: str, given: str) -> InvalidArgument:
    return InvalidArgument("FIELD_INVALID", f"{field}: {given!r} was not given out by this node", field=field)
