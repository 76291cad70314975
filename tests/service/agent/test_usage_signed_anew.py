"""Usage whose key lapsed on its way is vouched for by the next key: a provider loses nothing by a rotation."""

from __future__ import annotations

import asyncio
from pathlib import Path

from suanmesh_agent.fakes import FakeAccounting, PlainSigner
from suanmesh_agent.journal import Journal
from suanmesh_agent.meter import Meter
from suanmesh_kernel.clock import SystemClock, seeded_rng


async def test_records_wait_for_the_next_key(tmp_path: Path) -> None:
    """A site that was away for longer than its key was good is paid once it has another."""
    accounting, signer = FakeAccounting(), PlainSigner("old")
    accounting.good_key = "new"
    meter = Meter("sites/a", Journal(tmp_path / "agent.db"), accounting, signer, SystemClock(), seeded_rng(1))
    meter.write_transfer("placements/p", "transfers/t", 5, (1, 2), traceparent="")
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(meter.run())
        await accounting.refused.wait()
        assert not accounting.stored
        signer.key_id = "new"
        record = await accounting.has(lambda record: record.transfer == "transfers/t")
        running.cancel()
    assert (record.sequence, record.readings[0].quantity) == (1, 5)
