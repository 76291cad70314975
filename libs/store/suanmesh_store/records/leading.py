"""Taking the lead with records: only with those that led before, unless the operator says otherwise (0027)."""

from __future__ import annotations

from suanmesh.type.v1.store_mark_pb2 import StoreMark
from suanmesh_kernel.clock import Clock
from suanmesh_store.layout import record_marks
from suanmesh_store.leading import lead_fault
from suanmesh_store.ports import Store
from suanmesh_store.records.ports import Records
from suanmesh_store.soundness import StoreCorrupt
from suanmesh_store.values import Create, Update

MARK = "records"


async def take_lead(records: Records, store: Store, clock: Clock, *, node: str, lead_with: str) -> int:
    """Make sure that these are the records to lead with, leave a mark of them, and claim them for the term of `store`.

    Gives the fence of its writes. The mark is committed under the term's fence after the store was read and before it
    is claimed, so that a term that is over by then cannot claim it. Raises StoreCorrupt, whose text says what to do,
    Unavailable (`NOT_LEADER`).
    """
    marks = record_marks(store.area)
    own = await records.identity()
    held = await store.get(marks, MARK)
    led_before = held.message.store if held else ""
    if problem := lead_fault("the records", own.store, own.node, node, led_before, lead_with, area=store.area):
        raise StoreCorrupt(problem)
    mark = StoreMark(name=MARK, store=own.store)
    mark.lead_time.FromDatetime(clock.now())
    await store.commit(Create(marks, MARK, mark) if held is None else Update(held, mark))
    fence = store.leadership.fence if store.leadership else 0
    await records.claim(node, fence, over=own.fence)
    return fence
