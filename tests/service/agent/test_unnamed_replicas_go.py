"""What no dataset names any more leaves the site's disk, and nothing else does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh_agent.fakes import FakeTransport
from suanmesh_agent.journal import Journal
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.unnamed import ASKED_AT_ONCE, UnnamedReplicas, next_of, unused


@dataclass
class Disk:
    """A site's replicas, and what looks through them."""

    replicas: Replicas
    transport: FakeTransport
    journal: Journal
    unnamed: UnnamedReplicas

    def take_in(self, content: str) -> str:
        return self.replicas.keep({"file": content.encode()}).digest

    async def name(self, name: str, digest: str) -> None:
        await self.transport.create_dataset(pb.DatasetAsk(dataset_id=name, dataset=Dataset(digest=digest)))
        self.journal.name_dataset(f"datasets/{name}", digest)

    async def look(self, times: int = 2) -> None:
        for _ in range(times):
            await self.unnamed.look()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    replicas, transport, journal = Replicas(tmp_path), FakeTransport(), Journal(tmp_path / "agent.db")
    yield Disk(replicas, transport, journal, UnnamedReplicas("sites/a", replicas, transport, journal))
    journal.close()


async def test_a_replica_goes_once_no_dataset_has_its_content(disk: Disk) -> None:
    """An owner who removes data wants it gone, and a site wants its disk back."""
    kept, gone = disk.take_in("kept"), disk.take_in("gone")
    await disk.name("kept", kept)
    await disk.name("gone", gone)
    await disk.look(3)
    assert sorted(disk.replicas.digests()) == sorted([kept, gone])
    del disk.transport.datasets["datasets/gone"]
    await disk.look()
    assert disk.replicas.digests() == [kept]
    assert disk.journal.dataset("datasets/gone") is None
    assert not list((disk.replicas.folder / "incoming").iterdir())
    assert disk.take_in("gone") == gone
    assert disk.replicas.has(gone)


async def test_what_has_just_come_has_the_time_to_be_named(disk: Disk) -> None:
    """A result that is taken in and then published would be lost in between."""
    digest = disk.take_in("result")
    await disk.look(1)
    disk.take_in("result")  # the same content once more, as of another task
    await disk.look(1)
    assert disk.replicas.has(digest)
    await disk.name("result", digest)
    await disk.look(3)
    assert disk.replicas.has(digest)


async def test_an_upload_keeps_what_it_found_there(disk: Disk) -> None:
    """A user who brings the same content again is told that it is there, and must then find it there."""
    digest = disk.take_in("again")
    with disk.replicas.held(digest):
        await disk.look(3)
        assert disk.replicas.has(digest)
    await disk.look(3)
    assert not disk.replicas.has(digest)


async def test_what_is_needed_while_the_mesh_is_asked_stays(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the question and the removal somebody may have come to publish it."""
    digest = disk.take_in("late")
    await disk.look(1)
    answer = disk.transport.unnamed

    async def late(site: str, digests: list[str]) -> list[str]:
        disk.take_in("late")
        return await answer(site, digests)

    monkeypatch.setattr(disk.transport, "unnamed", late)
    await disk.look(1)
    assert disk.replicas.has(digest)


@given(st.sets(st.text("abcdef", min_size=1, max_size=4)))
def test_every_replica_is_looked_at_in_turn(names: set[str]) -> None:
    """One that is never reached would take room for ever."""
    seen, last = set[str](), ""
    for _ in range(len(names)):
        some = next_of(names, last, 1)
        seen.update(some)
        last = some[-1]
    assert seen == names
    assert len(next_of(names, "", ASKED_AT_ONCE)) == min(len(names), ASKED_AT_ONCE)


def test_only_what_was_seen_before_and_not_used_since_is_idle() -> None:
    """Whoever has just come must not be asked about."""
    assert unused({"a": 1, "b": 1}, {"a": 1, "b": 2, "c": 1}) == ["a"]
