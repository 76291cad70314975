"""What Prometheus is shown of jobs is what there is, whatever has happened to them."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_scheduler.readings import OTHER, UNDECIDED, JobCounts
from suanmesh_scheduler.record_kinds import ENDS, JOBS, LIVE
from suanmesh_store.records import MemoryRecords, Put, Remove, Write, open_record_mirror
from suanmesh_telemetry import names

State = job_pb2.Job.State
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
CODES = ("", "NO_CAPACITY_LIKE_NOBODYS_CODE", "CAPACITY_TAKEN", "CANCELLED")

a_state = st.sampled_from([value for value in State.values() if value])
a_change = st.tuples(st.sampled_from("abcd"), st.one_of(st.none(), st.tuples(a_state, st.sampled_from(CODES))))


@given(st.lists(a_change, max_size=25))
def test_jobs_are_counted_as_they_are(changes: list[tuple[str, tuple[State.ValueType, str] | None]]) -> None:
    """A queue that is said to be empty while jobs wait wakes nobody; a count that drifts is believed for weeks."""
    asyncio.run(_counted_as_they_are(changes))


async def _counted_as_they_are(changes: list[tuple[str, tuple[State.ValueType, str] | None]]) -> None:
    clock = HandClock(BEGUN)
    records = MemoryRecords(clock, seeded_rng(1))
    mirror = await open_record_mirror(records, JOBS, LIVE)
    counts = JobCounts(mirror)
    there: dict[str, tuple[State.ValueType, str]] = {}
    ended: Counter[str] = Counter()
    for name, state in changes:
        if state is None:
            await records.apply([Write([Remove(JOBS, name)])], fence=0)
            there.pop(name, None)
            continue
        job = job_pb2.Job(name=name, party="parties/acme", state=state[0])
        job.create_time.FromDatetime(BEGUN - timedelta(seconds=ord(name)))
        job.state_reason.code = state[1]
        await records.apply([Write([Put(JOBS, name, job)])], fence=0)
        before = there.get(name)
        if before is not None and before[0] not in ENDS and state[0] in ENDS:
            ended[State.Name(state[0]).removeprefix("STATE_")] += 1
        there[name] = state

    read: dict[str, dict[tuple[str, ...], float]] = {}
    for reading in counts.readings(clock):
        read.setdefault(reading.metric, {})[reading.labels] = reading.value
    live = Counter(State.Name(state).removeprefix("STATE_") for state, _ in there.values() if state not in ENDS)
    waiting = {name: code for name, (state, code) in there.items() if state == State.STATE_PENDING}
    reasons = Counter(UNDECIDED if not code else OTHER if code == CODES[1] else code for code in waiting.values())

    assert {labels[0]: value for labels, value in read[names.JOBS].items() if value} == live
    assert {labels[0]: value for labels, value in read[names.JOBS_ENDED].items() if value} == ended
    assert {labels[0]: value for labels, value in read[names.QUEUE_JOBS].items() if value} == reasons
    assert read[names.QUEUE_OLDEST] == {(): max((ord(name) for name in waiting), default=0)}
