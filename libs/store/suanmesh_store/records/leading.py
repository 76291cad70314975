"""Taking the lead with records: only with those that led before, unless the operator says otherwise (0027)."""

from __future__ import annotations

from suanmesh.type.v1.store_mark_pb2 import StoreMark
from suanmesh_kernel.clock import Clock
from suanmesh_store.layout import record_marks
from suanmesh_store.ports import Store
from suanmesh_store.records.ports import Records
from suanmesh_store.records.values import Identity
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
    if problem := obstacle(own, node, held.message.store if held else "", lead_with, store.area):
        raise StoreCorrupt(problem)
    mark = StoreMark(name=MARK, store=own.store)
    mark.lead_time.FromDatetime(clock.now())
    await store.commit(Create(marks, MARK, mark) if held is None else Update(held, mark))
    fence = store.leadership.fence if store.leadership else 0
    await records.claim(node, fence, over=own.fence)
    return fence


def obstacle(own: Identity, node: str, led_before: str, lead_with: str, area: str) -> str:
    """Why this node must not be led with this store, on one line with what to do; empty where it may.

    `led_before` is the store that led it last, empty where none has; `lead_with` the one that the operator wants to
    lead in its place.
    """
    variable = f"SUANMESH_{area.upper()}"
    if own.node not in ("", node):
        return (
            f"the records {own.store} are of the node {own.node}, this is {node}: point {variable}_DATABASE or "
            "SUANMESH_DATA_DIR to those of this node"
        )
    if led_before in ("", own.store) or lead_with == own.store:
        return ""
    return (
        f"the records {own.store} are not those that led {node} before, {led_before}: bring those back, or set "
        f"{variable}_LEAD_WITH={own.store} to lead with these and lose what the others hold"
    )
