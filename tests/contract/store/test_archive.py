"""What an archive promises of what has ended, together with what lives."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh.scheduler.v1.decision_pb2 import Decision
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_kernel import pages
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_kernel.refusals import Unavailable
from suanmesh_store.archive import Archive, listed, move_from_file
from suanmesh_store.records import MemoryRecords, Put, RecordKind

PARTIES = ("parties/a", "parties/b")


def a_job(number: int, party: str = PARTIES[0], second: int = 0) -> Job:
    job = Job(name=f"jobs/j{number}", party=party)
    job.create_time.FromSeconds(second)
    return job


def place_of(job: Job) -> str:
    return pages.newest_first(job.create_time.ToMicroseconds(), job.name)


JOBS = listed("jobs", Job, place_of)
DECISIONS = RecordKind("decisions", Decision)


def kept(job: Job) -> Put[Job]:
    return Put(JOBS, job.name, job)


@pytest.fixture
def archive() -> Archive:
    return Archive(MemoryRecords(HandClock(), seeded_rng(1)))


async def test_what_is_kept_again_replaces_what_was_kept(archive: Archive) -> None:
    """A crash between keeping and deleting comes back with the same document: it must not stand twice."""
    await archive.keep(kept(a_job(1)))
    await archive.keep(kept(a_job(1, party=PARTIES[1])))
    found = await archive.page(JOBS, {}, party="", after="", most=9)
    assert [job.party for job in found.values()] == [PARTIES[1]]
    assert await archive.known(JOBS, ["jobs/j1", "jobs/never"]) == {"jobs/j1"}


async def test_an_archive_of_a_term_that_is_over_keeps_nothing(archive: Archive) -> None:
    """A paused leader that wakes would put a job back as it was before the next leader ended it."""
    with pytest.raises(Unavailable, match="term"):
        await archive.led_by(7).keep(kept(a_job(1)))
    assert await archive.get(JOBS, "jobs/j1") is None


async def test_what_an_earlier_version_kept_in_a_file_is_moved(archive: Archive, tmp_path: Path) -> None:
    """Whoever disputes a bill next year asks for a job that ended before the node was upgraded."""
    path = tmp_path / "archive.sqlite"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE archived_documents (collection, name, place, party, document)")
        rows = [("jobs", f"jobs/j{n}", b"", "", a_job(n, second=n).SerializeToString()) for n in range(450)]
        rows.append(("decisions", "jobs/j1/decisions/d", b"", "", Decision(name="d").SerializeToString()))
        file.executemany("INSERT INTO archived_documents VALUES (?, ?, ?, ?, ?)", rows)
        file.commit()
    await move_from_file(path, archive, [JOBS, DECISIONS])
    await move_from_file(path, archive, [JOBS, DECISIONS])
    first = await archive.page(JOBS, {}, party=PARTIES[0], after="", most=999)
    assert list(first.values()) == [a_job(n, second=n) for n in reversed(range(450))]
    assert await archive.get(DECISIONS, "jobs/j1/decisions/d") == Decision(name="d")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240


@settings(deadline=None)
@given(
    jobs=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(PARTIES)), max_size=12),
    moves=st.lists(st.lists(st.integers(0, 11), max_size=6), max_size=20),
    size=st.integers(1, 5),
    party=st.sampled_from(("", *PARTIES)),
)
def test_all_pages_together_have_each_document_once(
    jobs: list[tuple[int, str]], moves: list[list[int]], size: int, party: str
) -> None:
    """A user who pages through while old jobs move out would miss one that was paid for, or count it twice."""
    made = [a_job(number, party, second) for number, (second, party) in enumerate(jobs)]
    seen = asyncio.run(_paged(made, moves, size, party))
    mine = [job for job in made if party in ("", job.party)]
    assert seen == sorted(mine, key=place_of)
    assert [-job.create_time.seconds for job in seen] == sorted(-job.create_time.seconds for job in seen)


async def _paged(made: Sequence[Job], moves: list[list[int]], size: int, party: str) -> list[Job]:
    """Page through, and let jobs move within each page, between the look at those that live and at those kept."""
    living, doomed = dict(enumerate(made)), list(moves)
    seen: list[Job] = []
    after = ""
    archive = Archive(MemoryRecords(HandClock(), seeded_rng(1)))
    while True:
        live = {place_of(job): job for job in living.values() if party in ("", job.party)}
        for number in doomed.pop(0) if doomed else []:
            if number in living and number % 2:
                await archive.keep(kept(living.pop(number)))
            elif number in living:  # kept, and not gone from the mirror yet
                await archive.keep(kept(living[number]))
        found = await archive.page(JOBS, live, party=party, after=after, most=size)
        if not found:
            break
        seen += found.values()
        after = max(found)
    return seen
