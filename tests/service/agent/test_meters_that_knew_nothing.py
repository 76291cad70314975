"""A journal that was set back to before the first usage of a job it knows: the mesh has all of it already."""

from __future__ import annotations

from pathlib import Path

from suanmesh.accounting.v1 import usage_pb2
from suanmesh.type.v1 import money_pb2
from suanmesh_agent.fakes import FakeAccounting
from suanmesh_agent.journal import Journal
from suanmesh_agent.recovery import square

WORK = "placements/long"


async def test_a_job_goes_on_from_what_was_charged_for_it(tmp_path: Path) -> None:
    """Its meter began anew, and a consumer paid for the whole run a second time."""
    accounting, journal = FakeAccounting(), Journal(tmp_path / "agent.db")
    journal.keep_placement(WORK, b"")
    record = usage_pb2.UsageRecord(site="sites/a", epoch="old", sequence=1, placement=WORK, final=True)
    record.readings.add(meter=money_pb2.METER_CPU_US, quantity=5)
    record.end_time.FromNanoseconds(7)
    accounting.stored["old", 1] = record

    await square(journal, accounting, "new", lambda *_: None)

    mark = journal.meter(WORK, 0)
    assert mark is not None
    assert (mark.amounts.cpu_us, mark.end_ns, mark.final) == (5, 7, True)
