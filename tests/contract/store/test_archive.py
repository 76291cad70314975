"""What an archive promises of what has ended, alone and together with what lives."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_kernel import pages
from suanmesh_kernel.refusals import Unavailable
from suanmesh_store.archive import Archive, ArchiveEntry
from suanmesh_store.layout import JOBS, PLACEMENTS

PARTIES = ("parties/a", "parties/b")


def a_job(number: int, party: str = PARTIES[0], second: int = 0) -> Job:
    job = Job(name=f"jobs/j{number}", party=party)
    job.create_time.FromSeconds(second)
    return job


def place_of(job: Job) -> str:
    return pages.newest_first(job.create_time.ToMicroseconds(), job.name)


def kept(job: Job) -> ArchiveEntry[Job]:
    return ArchiveEntry(JOBS, job.name, job, place=place_of(job), party=job.party)


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    archive = Archive(f"sqlite:///{tmp_path / 'archive.sqlite'}")
    yield archive
    await archive.close()


async def test_what_is_kept_is_found_after_a_restart(archive: Archive, tmp_path: Path) -> None:
    """Whoever disputes a bill next year asks for a job that etcd forgot long ago."""
    await archive.keep(kept(a_job(1)), ArchiveEntry(JOBS, "jobs/unlisted", Job(name="jobs/unlisted")))
    await archive.close()
    again = Archive(f"sqlite:///{tmp_path / 'archive.sqlite'}")
    assert await again.get(JOBS, "jobs/j1") == a_job(1)
    assert await again.get(JOBS, "jobs/j2") is None
    assert await again.get(PLACEMENTS, "jobs/j1") is None
    assert list(await again.page(JOBS, {}, party="", after="", most=9)) == [place_of(a_job(1))]
    await again.close()


async def test_what_is_kept_again_replaces_what_was_kept(archive: Archive) -> None:
    """A crash between keeping and deleting comes back with the same document: it must not stand twice."""
    await archive.keep(kept(a_job(1)))
    await archive.keep(kept(a_job(1, party=PARTIES[1])))
    found = await archive.page(JOBS, {}, party="", after="", most=9)
    assert [job.party for job in found.values()] == [PARTIES[1]]


async def test_what_is_queued_is_kept_before_it_closes_and_others_go_on(archive: Archive, tmp_path: Path) -> None:
    """A service that stood still while its archive closes would answer nobody, its health check neither."""
    other = sqlite3.connect(tmp_path / "archive.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(archive.keep(kept(a_job(1))))
        await asyncio.sleep(0)
        tasks.create_task(archive.close())
        await asyncio.sleep(0)
        other.execute("COMMIT")
    assert other.execute("SELECT name FROM archived_documents").fetchall() == [("jobs/j1",)]
    other.close()


async def test_an_archive_that_is_closed_is_told_as_such(archive: Archive) -> None:
    """A call that a service still answers when it has lost its lead must be made again elsewhere, not be a defect."""
    await archive.keep(kept(a_job(1)))
    await archive.close()

    with pytest.raises(Unavailable, match="NOT_READY"):
        await archive.get(JOBS, "jobs/j1")


async def test_a_database_in_trouble_is_told_as_such(archive: Archive, tmp_path: Path) -> None:
    """A full disk must put archiving off, not end the service with every job of the node."""
    (tmp_path / "archive.sqlite").unlink()
    with pytest.raises(Unavailable, match="NOT_READY"):
        await archive.keep(kept(a_job(1)))


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
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(f"sqlite:///{folder}/archive.sqlite")
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
        await archive.close()
    return seen


async def test_those_who_keep_at_once_wait_for_the_disk_together(archive: Archive) -> None:
    """A hundred jobs that end together would wait for a hundred turns of the disk; each is there all the same."""
    commits: list[object] = []

    def note(connection: object) -> None:
        commits.append(connection)

    event.listen(Engine, "commit", note)
    names = [f"jobs/{number % 80:03d}" for number in range(100)]
    kept = [ArchiveEntry(JOBS, name, Job(name=name, account=str(number))) for number, name in enumerate(names)]
    await asyncio.gather(*(archive.keep(each) for each in kept))
    event.remove(Engine, "commit", note)
    assert len(commits) <= 5
    found = [await archive.get(JOBS, f"jobs/{number:03d}") for number in range(80)]
    assert [job.account for job in found if job] == [str(n + 80 if n < 20 else n) for n in range(80)]
    assert await archive.known(JOBS, ["jobs/000", "jobs/never"]) == {"jobs/000"}
