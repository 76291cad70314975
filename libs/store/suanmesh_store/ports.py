"""What a store promises to a service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from suanmesh_store.layout import Kind, M
from suanmesh_store.values import (
    Answered,
    Author,
    Batch,
    Change,
    Committed,
    Guard,
    Held,
    IdempotencyKey,
    IdempotencyRecord,
    LeasedKey,
    LeasedKeyBatch,
    LeasedKeys,
    Listing,
)


class RoundLease(Protocol):
    """A lease in etcd; leaving its `async with` revokes it, and what is still attached to it goes with it."""

    @property
    def id(self) -> int:
        """What others attach their tokens to."""

    @property
    def alive(self) -> bool:
        """Whether it surely still stands; told by the monotonic clock, without asking."""

    @property
    def lost(self) -> asyncio.Event:
        """Set as soon as one that is kept may be over, and as soon as one is revoked."""

    async def revoke(self) -> None:
        """End it now. Ending it twice changes nothing."""

    async def __aenter__(self) -> Self:
        """The lease itself."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Revoke it."""


class Leadership(Protocol):
    """One term of leading an area; a term that is over never comes back."""

    @property
    def key(self) -> str:
        """The election key; every write compares its create_revision with `fence`."""

    @property
    def fence(self) -> int:
        """create_revision of the key: a later leader's is greater."""

    @property
    def alive(self) -> bool:
        """Whether the term surely still runs; told by the monotonic clock, without asking."""

    @property
    def lost(self) -> asyncio.Event:
        """Set as soon as the term may be over."""

    async def resign(self) -> None:
        """Let the next one lead at once."""


class _NotLeading:
    """The leadership of an instance that has none: whatever is fenced by it is refused."""

    key = ""
    fence = 0
    alive = False

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.lost.set()

    async def resign(self) -> None:
        """There is nothing to resign."""


NOT_LEADING: Leadership = _NotLeading()
"""For stores that only read."""


class Store(Protocol):
    """Documents of every area to read, and those of one area to write."""

    @property
    def area(self) -> str:
        """The area it may write."""

    @property
    def leadership(self) -> Leadership | None:
        """The term its writes are fenced by; None where nothing fences them."""

    async def get(self, kind: Kind[M], name: str) -> Held[M] | None:
        """One document as it is now."""

    async def get_each(self, *places: tuple[Kind[Any], str]) -> list[Held[Any] | None]:
        """Documents of several kinds at one revision, in the order asked; None for each that is not there."""

    async def get_many(self, kind: Kind[M], names: Iterable[str]) -> dict[str, Held[M]]:
        """Those of some documents that are there, by name, as they are now: a few hundred are read at one revision."""

    async def snapshot(self, kind: Kind[M], under: str = "") -> Listing[M]:
        """All documents whose name begins with `under`, sorted by name, all at one revision."""

    def scan(self, kind: Kind[M], *, under: str = "", after: str = "", limit: int = 0) -> AsyncGenerator[Held[M], None]:
        """Documents whose name begins with `under` and comes behind `after`, in order, at most `limit` where it is set.

        Read a page at a time, each as of when it is read: what is there throughout comes once, what comes or goes
        meanwhile may or may not. For one revision take `snapshot`, for many calls a `Mirror`.
        """

    async def commit(
        self,
        *changes: Change,
        guards: Sequence[Guard] = (),
        remember: IdempotencyRecord | None = None,
        author: Author | None = None,
    ) -> Committed:
        """Apply every change or none, in one transaction, only if nothing it relies on has changed.

        Raises Conflict (an Aborted `CONFLICT`), AlreadyAnswered, Unavailable (`NOT_LEADER`, `NOT_READY`,
        `OUTCOME_UNKNOWN`), InvalidArgument (`DOCUMENT_TOO_LARGE`), FailedPrecondition (`HOLD_LAPSED`).
        """

    def watch(
        self, kind: Kind[M], after_revision: int, known: Iterable[Held[M]] = ()
    ) -> AsyncGenerator[Batch[M], None]:
        """Every change after a revision, in order, none lost and none twice; a gap is bridged by a relist.

        `known` is what the reader has as of that revision: only with it can a relist tell what is gone. A `Mirror` does
        all of this.
        """

    async def lookup(self, key: IdempotencyKey) -> Answered | None:
        """What was answered to a request before."""

    async def open_lease(self, ttl_s: float, *, kept: bool = False) -> RoundLease:
        """A lease that ends after `ttl_s`, or, where `kept`, that long after this process falls silent."""

    async def put_tokens(self, tokens: Mapping[str, bytes], lease_id: int) -> int:
        """Attach bare keys, none of which stands yet, to a lease, all or none; returns their revision.

        Raises what `put_token` raises; a Conflict names every key that stands.
        """

    async def put_token(self, key: str, value: bytes, lease_id: int, *, must_not_exist: bool = True) -> int:
        """Attach a bare key to a lease and return its mod_revision.

        Putting the same value on the same lease again returns the revision of the one that stands.
        Raises FailedPrecondition (`HOLD_LAPSED`), Conflict where another stands, Unavailable as `commit` does.
        """

    async def get_token(self, key: str) -> LeasedKey | None:
        """One bare key as it is now."""

    async def get_tokens(self, keys: Iterable[str]) -> dict[str, LeasedKey]:
        """Those of some bare keys that are there, by key, as they are now."""

    async def delete_tokens(self, keys: Iterable[str]) -> None:
        """Remove bare keys, a few hundred in a transaction; removing an absent one changes nothing."""

    async def tokens(self, prefix: str) -> LeasedKeys:
        """All bare keys under a prefix, at one revision."""

    def watch_tokens(
        self, prefix: str, after_revision: int, known: Iterable[LeasedKey] = ()
    ) -> AsyncGenerator[LeasedKeyBatch, None]:
        """What becomes of the bare keys under a prefix after a revision; `known` as for `watch`."""

    async def bulk_put(self, kind: Kind[M], items: Iterable[tuple[str, M]], *, author: Author | None = None) -> int:
        """Create many documents, packed and pipelined; each pack is all or nothing, and the count is what is durable.

        Raises what `commit` raises; packs before and beside the failed one may stand.
        """

    async def leader(self, area: str) -> str:
        """Address of whoever leads an area now; empty when nobody does."""
