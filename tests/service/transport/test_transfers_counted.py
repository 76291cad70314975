"""What Prometheus is shown of transfers."""

from __future__ import annotations

from suanmesh.transport.v1.transfer_pb2 import Progress, Receipt, Transfer
from suanmesh_store import Create, Delete, MemoryStore, Update, open_mirror
from suanmesh_store.layout import TRANSFERS
from suanmesh_telemetry import names
from suanmesh_transport.readings import TransferCounts

ACTIVE, DONE, FAILED = Transfer.STATE_ACTIVE, Transfer.STATE_DONE, Transfer.STATE_FAILED


async def test_transfers_are_counted_with_what_they_brought() -> None:
    """Whoever watches the mesh sees data move, and each byte once."""
    store = MemoryStore("transport")
    mirror = await open_mirror(store, TRANSFERS)
    counts = TransferCounts(mirror)

    async def becomes(name: str, state: Transfer.State.ValueType, done: int = 0, received: int = 0) -> None:
        held = await store.get(TRANSFERS, name)
        made = Transfer(
            name=name, state=state, progress=Progress(bytes_done=done), receipt=Receipt(bytes_received=received)
        )
        await store.commit(Create(TRANSFERS, name, made) if held is None else Update(held, made))
        await mirror.load()

    def read() -> dict[str, float]:
        return {"".join(each.labels) or each.metric: each.value for each in counts.readings() if each.value}

    await becomes("transfers/a", ACTIVE, done=5)
    await becomes("transfers/b", ACTIVE)
    assert read() == {"ACTIVE": 2, names.TRANSFERRED: 5}
    await becomes("transfers/a", DONE, done=5, received=9)
    await becomes("transfers/b", FAILED, done=0)
    assert read() == {"DONE": 1, "FAILED": 1, names.TRANSFERRED: 9}
    held = await store.get(TRANSFERS, "transfers/a")
    assert held is not None
    await store.commit(Delete(held))
    await mirror.load()
    assert read() == {"FAILED": 1, names.TRANSFERRED: 9}
