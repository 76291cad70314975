"""The agent's rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_agent.domain.endings import ending
from suanmesh_agent.domain.metering import Allotment, Amounts, amounts
from suanmesh_agent.domain.pacing import CATCH_UP_S, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, Pace, chunk_bytes
from suanmesh_agent.domain.setups import TAIL_BYTES, tail_of
from suanmesh_agent.domain.stages import Stage, follows
from suanmesh_agent.domain.tasks import TaskLook, TaskState, Usage
from suanmesh_agent.domain.tickets import Ticket, require_ticket
from suanmesh_agent.domain.work import Work, is_inner_path, objection
from suanmesh_agent.settings import Devices
from suanmesh_kernel.quantities import Capacity, Device
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import PermissionDenied

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TICKET = Ticket("transfers/t", "datasets/d", "00", "sites/a", "spiffe://n/site/b/agent", NOW + timedelta(hours=1), 0)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=30), st.integers(0, 2**40)
)
def test_intervals_add_up_to_the_whole(steps: list[tuple[int, int]], memory_bytes: int) -> None:
    """However often a run is read, its bill is that of one reading at the end."""
    held = Allotment(memory_bytes=memory_bytes, device_milli=1500)
    cpu_us = elapsed_us = 0
    before = summed = Amounts()
    for more_cpu, more_time in steps:
        cpu_us, elapsed_us = cpu_us + more_cpu, elapsed_us + more_time
        now = amounts(Usage(cpu_us, elapsed_us), held)
        summed, before = summed.plus(now.since(before)), now
    assert summed == amounts(Usage(cpu_us, elapsed_us), held)


@given(st.integers(64_000, 10**10), st.lists(st.integers(1, CHUNK_BYTES_MAX), min_size=2, max_size=50))
def test_a_pace_never_exceeds_its_rate(rate_bps: int, sizes: list[int]) -> None:
    """Over any run of chunks that are sent when their turn has come, no more passes than the rate allows."""
    pace, now, sent = Pace(rate_bps, spent_until=0.0), 0.0, 0
    for size in sizes:
        pace = pace.after(size, now)
        now = max(now, pace.spent_until)
        sent += size
        assert sent * 8 <= rate_bps * now * 1.000001


@given(st.integers(0, 10**11))
def test_chunks_are_small_enough_for_an_even_rate(rate_bps: int) -> None:
    """A slow reservation must not come in bursts of seconds; a fast one must not drown in requests."""
    size = chunk_bytes(rate_bps)
    assert CHUNK_BYTES_MIN <= size <= CHUNK_BYTES_MAX
    assert size == chunk_bytes(rate_bps)
    if rate_bps and size > CHUNK_BYTES_MIN:
        assert size * 8 / rate_bps <= CATCH_UP_S


def test_a_good_ticket_opens() -> None:
    """The one case in which data is handed out."""
    require_ticket(TICKET, site="sites/a", reader="spiffe://n/site/b/agent", now=NOW)


@pytest.mark.parametrize(
    ("site", "reader", "after_s"),
    [("sites/c", TICKET.reader, 0), ("sites/a", "spiffe://n/site/c/agent", 0), ("sites/a", TICKET.reader, 3600)],
)
def test_any_other_ticket_does_not(site: str, reader: str, after_s: int) -> None:
    """Somebody else's ticket, another site's, and one whose time has come are worth the same: nothing."""
    with pytest.raises(PermissionDenied, match="ticket"):
        require_ticket(TICKET, site=site, reader=reader, now=NOW + timedelta(seconds=after_s))


@pytest.mark.parametrize("path", ["", "/", "/etc", "..", "a/../../b", ".", "a\0b"])
def test_a_path_that_leads_out_is_seen(path: str) -> None:
    """A mount must not reach the site's own files."""
    assert not is_inner_path(path)


@pytest.mark.parametrize("path", ["in", "in/data", "a.b/c-d"])
def test_an_inner_path_is_taken(path: str) -> None:
    """Ordinary mounts are no trouble."""
    assert is_inner_path(path)


def test_devices_are_counted() -> None:
    """A card is given to one task at a time."""
    gpus = Capacity(4000, 2**30, 0, (Device("gpu", "x", 2),))
    taken = Capacity(devices=(Device("gpu", "x", 1),))
    no = objection(a_work(Capacity(devices=(Device("gpu", "x", 2),))), capacity=gpus, taken=taken, runtimes=["python3"])
    assert no == StateReason("CAPACITY_TAKEN", {"quantity": "gpu", "missing": "1"})
    assert not objection(a_work(Capacity(1000)), capacity=gpus, taken=taken, runtimes=["python3"])


def test_the_cause_is_told_not_the_consequence() -> None:
    """When one task of a gang fails, the others are stopped: the user needs to hear of the first."""
    stopped = TaskLook(TaskState.ENDED, exit_status=143, failure="CANCELLED")
    failed = TaskLook(TaskState.ENDED, exit_status=3)
    told = ending([stopped, failed], stop_requested=False).reason
    assert told == StateReason("EXIT_STATUS", {"task": "1", "exit_status": "3"})
    assert ending([stopped, failed], stop_requested=True).cancelled
    assert ending([TaskLook(TaskState.ENDED, exit_status=0), stopped], stop_requested=True).delivered == (0,)
    assert ending([TaskLook(TaskState.ENDED, exit_status=0)], stop_requested=False).delivered == (0,)
    assert ending([TaskLook(TaskState.LOST)], stop_requested=False).reason.code == "TASK_LOST"
    assert ending([TaskLook(TaskState.ABSENT)], stop_requested=False).reason.code == "TASK_NOT_STARTED"


def test_tasks_that_end_well_leave_results() -> None:
    """Hours of nine tasks would be thrown away for the tenth; what a site has lost is run again as a whole."""
    well, failed = TaskLook(TaskState.ENDED, exit_status=0), TaskLook(TaskState.ENDED, exit_status=3)
    how = ending([well, failed, well], stop_requested=False, keep_going=True)
    facts = {"task": "1", "exit_status": "3", "failed": "1", "tasks": "3"}
    assert (how.reason, how.delivered) == (StateReason("EXIT_STATUS", facts), (0, 2))
    stopped, unbegun = TaskLook(TaskState.ENDED, exit_status=143, failure="CANCELLED"), TaskLook(TaskState.ABSENT)
    how = ending([well, failed, stopped, unbegun], stop_requested=False)
    assert (how.reason, how.delivered) == (StateReason("EXIT_STATUS", {**facts, "tasks": "4"}), (0,))
    assert ending([well, failed], stop_requested=True, keep_going=True).delivered == (0,)
    assert ending([well, TaskLook(TaskState.LOST)], stop_requested=False, keep_going=True).delivered == ()


def test_stages_only_go_forward() -> None:
    """A placement that has ended must never be run again."""
    assert follows(Stage.SEEN, Stage.ACCEPTED)
    assert not any(follows(Stage.REPORTED, stage) for stage in Stage)
    assert not follows(Stage.METERED, Stage.STARTED)


@pytest.mark.parametrize("text", ["{", "[1]", '[{"class": "gpu"}]', '[{"class": "gpu", "count": 1, "speed": 3}]'])
def test_devices_that_cannot_be_read_are_refused(text: str) -> None:
    """A typo in a declaration must be seen at the start, not as missing cards."""
    with pytest.raises(ValueError, match=r".+"):
        Devices(text)


def test_a_job_in_waves_takes_only_the_room_of_one_wave() -> None:
    """A site would refuse a thousand small tasks although it was promised to run four of them at a time."""
    work = replace(a_work(Capacity(500, 1, 1)), count=1000, at_once=4)

    assert work.capacity == Capacity(2000, 4, 4)
    assert not objection(work, capacity=Capacity(2000, 4, 4), taken=Capacity(0, 0, 0), runtimes=["python3"])


def a_work(task: Capacity) -> Work:
    return Work("p", task, 1, ("python3",), (), (), (), "python3", 60, at_once=1)


def test_the_end_of_a_log_is_told_by_whole_lines() -> None:
    """Half a sentence, or colours that a terminal takes for commands, are no reason."""
    assert tail_of(b"a\nb\r\n\n") == "a | b"
    assert tail_of(b"x" * 200 + b"\n\x1b[31mERROR\x1b[0m no luck\n") == "[31mERROR [0m no luck"
    assert len(tail_of("é".encode() * 200)) <= TAIL_BYTES
