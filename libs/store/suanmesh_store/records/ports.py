"""What records promise to a service."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from suanmesh_kernel.refusals import Refusal
from suanmesh_store.agreement import Belonging
from suanmesh_store.layout import M
from suanmesh_store.records.kinds import Key, RecordKind
from suanmesh_store.records.values import Commit, Feed, Identity, Outcome, Record, Write
from suanmesh_store.values import Answered, IdempotencyKey

PAGE_MAX = 1_001
"""Records of one page: the largest that a caller may ask for, and one to see whether more follow."""

REMOVALS_MAX = 10_000
"""Removed records of a kind that a feed remembers; a follower that knows less than the oldest reads everything anew."""
REQUEST_MEMORY_S = 86_400
"""How long an answer is remembered at least."""


class Records(Protocol):
    """Records of one area: what grows with use. Many processes read them, the leader of the area writes.

    Every method may raise Unavailable (`NOT_READY`, `STORE_AWAY`, `DISK_FULL`, `PROCESS_FULL`) and DataLoss
    (`STORE_CORRUPT`).
    """

    async def apply(self, writes: Sequence[Write], *, fence: int = 0) -> list[Outcome]:
        """Make writes in their order in one transaction, durable when it returns; each stands or falls by itself.

        Each sees those before it. Those of callers that come at the same time share a transaction. `fence` is the term
        that the writer leads in: another one than that which claimed the store last is refused.
        """

    async def get_many(self, kind: RecordKind[M], names: Collection[str]) -> dict[str, Record[M]]:
        """Those of the names that stand, by name."""

    async def page(
        self, kind: RecordKind[M], index: str = "", equals: Key = (), *, after: Key = (), limit: int,
        descending: bool = False,
    ) -> list[Record[M]]:  # fmt: skip
        """Records in the order of an index, at most `limit`, of those whose key there begins with `equals`.

        `after` is where the page before ended: what follows `equals` in the last key, and the name; in the order of
        names, which is that of the empty index, the name alone.
        """

    async def count(self, kind: RecordKind[M], index: str, equals: Key, *, most: int) -> int:
        """How many records of an index have a key that begins with `equals`; `most` where there are more."""

    async def feed(self, kind: RecordKind[M], after: int, *, limit: int) -> Feed[M]:
        """What has changed after a sequence; 0 is before every change. Intermediate states of a record are left out."""

    async def newest(self) -> int:
        """The sequence of the last change, of whatever kind and by whatever process."""

    def tell(self, follower: Callable[[Commit], None]) -> None:
        """Call `follower` with what each transaction of this process has left, in order, before its writers go on.

        It is no feed: what others write is not in it, and a transaction whose outcome was not learnt may be missing.
        """

    async def moved(self, after: int) -> int:
        """Wait until something has changed after a sequence, in whatever process, and give the newest sequence."""

    async def lookup(self, key: IdempotencyKey) -> Answered | None:
        """What was answered to a request before."""

    async def identity(self) -> Identity:
        """Which store this is. One that has never been claimed has no node."""

    async def claim(self, own: Belonging, fence: int, *, over: int) -> None:
        """Begin to lead with this store: what an earlier term still writes is refused from now on.

        `own` is what it is to say of itself; a number that is not greater than that of before changes nothing of it.

        `over` is the fence that was read before the caller made sure that it leads: numbers of terms begin anew where
        etcd was lost. Raises Unavailable (`NOT_LEADER`) where another term has claimed it meanwhile, unless that one is
        earlier.
        """

    @property
    def fault(self) -> Refusal | None:
        """What kept the last transaction from being made; None where nothing did."""

    async def close(self) -> None:
        """Finish what is under way and close."""


def too_old(now_us: int) -> int:
    """The moment before which answers are forgotten, microseconds since 1970."""
    return now_us - REQUEST_MEMORY_S * 1_000_000
