"""Taking the lead with records: only with those that belong to this etcd, unless the operator says otherwise (0059)."""

from __future__ import annotations

from suanmesh.type.v1.store_mark_pb2 import StoreMark
from suanmesh_kernel.clock import Clock
from suanmesh_store.agreement import Belonging, Claimed, Mark, Node
from suanmesh_store.layout import record_marks
from suanmesh_store.marks import MarkKeeper, node_of
from suanmesh_store.ports import Store
from suanmesh_store.records.ports import Records
from suanmesh_store.values import Create, Update

MARK = "records"


class RecordMarks:
    """`Marks` of an area's records, in a document of the area."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._kind = record_marks(store.area)
        self._clock = clock

    @property
    def leads(self) -> bool:
        """Whether the term of the store surely stands."""
        return self._store.leadership is None or self._store.leadership.alive

    async def last(self) -> Mark:
        """The last mark."""
        held = await self._store.get(self._kind, MARK)
        if held is None:
            return Mark()
        told = held.message
        return Mark(told.store, told.generation, told.number, told.sequence)

    async def leave(self, mark: Mark) -> None:
        """Put it, under the fence of the term."""
        held = await self._store.get(self._kind, MARK)
        put = StoreMark(
            name=MARK, store=mark.store, generation=mark.generation, number=mark.number, sequence=mark.sequence
        )
        put.lead_time.FromDatetime(self._clock.now())
        await self._store.commit(Create(self._kind, MARK, put) if held is None else Update(held, put))

    async def node(self) -> Node:
        """The node that etcd belongs to."""
        return await node_of(self._store)


class RecordsOfTerm:
    """`Marked` records, claimed for a term whenever they are to say something else of themselves."""

    def __init__(self, records: Records, fence: int) -> None:
        self._records = records
        self._fence = fence
        self._over = 0

    async def belonging(self) -> Belonging:
        """What they say of themselves; whoever claimed them by then may be passed over."""
        own = await self._records.identity()
        self._over = own.fence
        sequence = await self._records.newest()
        return Belonging(own.store, own.node, own.node_id, own.generation, own.number, sequence)

    async def keep(self, own: Belonging) -> None:
        """Claim them."""
        await self._records.claim(own, self._fence, over=self._over)


async def take_lead(
    records: Records, store: Store, clock: Clock, *, node: str, lead_with: str
) -> tuple[int, MarkKeeper]:
    """Make sure that these are the records to lead with, leave a mark of them, and claim them for the term of `store`.

    Gives the fence of its writes, and who is to leave marks for as long as the term lasts. A mark is committed under
    the term's fence after the store was read and before it is claimed: a term that is over by then cannot claim it.
    Raises StoreRefused, whose text says what to do, Unavailable (`NOT_LEADER`).
    """
    fence = store.leadership.fence if store.leadership else 0
    claimed = Claimed(store.area, "the records", node, lead_with)
    keeper = MarkKeeper(RecordsOfTerm(records, fence), RecordMarks(store, clock), claimed)
    await keeper.begin()
    return fence, keeper
