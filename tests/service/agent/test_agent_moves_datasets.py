"""Transfers between two sites in one process: whole, verified, resumed, metered once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_agent.data_plane import Reader, data_plane_budget
from suanmesh_agent.domain.pacing import CATCH_UP_S, Pace
from suanmesh_agent.journal import Journal
from suanmesh_agent.meter import Meter
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.testing import (
    FakeAccounting,
    FakeTransport,
    NearDataPath,
    PlainSigner,
    write_numbers,
)
from suanmesh_agent.transfers import Transfers
from suanmesh_agent.turns import Turns
from suanmesh_content import read_folder
from suanmesh_kernel.clock import HandClock, SystemClock, seeded_rng
from suanmesh_kernel.refusals import Unavailable

State = transfer_pb2.Transfer
NAME = "transfers/t1"
TRIES_MAX = 5
MIB = 1024 * 1024


class Sites:
    """A source with one dataset, and a target's folder."""

    def __init__(self, folder: Path, *, files: int = 1, size_bytes: int = 40 * MIB) -> None:
        self.folder = folder
        self.source = Replicas(folder / "source")
        self.manifest = self.source.take_in({"": write_numbers(folder / "data", files, size_bytes)})
        self.data_path = NearDataPath(Reader(self.source, SystemClock(), data_plane_budget()))
        self.transport = FakeTransport()
        self.accounting = FakeAccounting()
        self.replicas = Replicas(folder / "target")
        self.patience_s = 60.0

    def ask(self, *, name: str = NAME, digest: str = "", rate_bps: int = 0, **fields: Any) -> None:
        """Ask for the transfer; `fields` are further ones of its."""
        self.transport.put(
            transfer_pb2.Transfer(
                name=name,
                dataset="datasets/d",
                digest=digest or self.manifest.digest,
                bytes=self.manifest.size_bytes,
                source="sites/a",
                target="sites/b",
                placement="placements/p",
                account="accounts/x",
                rate_bps=rate_bps,
                state=State.STATE_PENDING,
                **fields,
            )
        )

    @asynccontextmanager
    async def target(self) -> AsyncIterator[Journal]:
        """The target's agent; leaving it is as sudden as a kill."""
        journal = Journal(self.folder / "target" / "agent.db")
        clock = SystemClock()
        meter = Meter("sites/b", journal, self.accounting, PlainSigner(), clock, seeded_rng(1))
        transfers = Transfers(
            "sites/b",
            transport=self.transport,
            data_path=self.data_path,
            journal=journal,
            replicas=self.replicas,
            meter=meter,
            clock=clock,
            turns=Turns(),
            patience_s=self.patience_s,
            progress_every_s=0.02,
        )
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            lives = [tasks.create_task(transfers.run()), tasks.create_task(meter.run())]
            try:
                yield journal
            finally:
                for life in lives:
                    life.cancel()
        journal.close()


async def test_a_dataset_arrives_whole_and_is_metered_once(tmp_path: Path) -> None:
    """What was published at one site is the same at the other, and its bytes are on one usage record."""
    sites = Sites(tmp_path, files=5, size_bytes=9 * MIB)
    sites.ask()
    async with sites.target():
        transfer = await sites.transport.ended(NAME)
        record = await sites.accounting.has(lambda record: record.transfer == NAME)
    assert transfer.state == State.STATE_DONE
    assert transfer.receipt.digest == sites.manifest.digest
    assert transfer.receipt.chunks_again == 0
    assert transfer.receipt.bytes_received == sites.manifest.size_bytes
    assert read_folder(sites.replicas.files(sites.manifest.digest)).digest == sites.manifest.digest
    assert record.final
    assert record.readings[0].quantity == sites.manifest.size_bytes
    assert list(sites.accounting.records) == [1]


async def test_the_event_loop_waits_for_no_write_while_data_comes(tmp_path: Path) -> None:
    """A disk that is slow over one dataset would hold up the tasks, the reports and the data of everybody else."""
    sites, writers = Sites(tmp_path, files=5, size_bytes=MIB), set[int]()
    async with sites.target() as journal:
        journal._writer.set_trace_callback(lambda _: writers.add(threading.get_ident()))
        sites.ask()
        await sites.transport.ended(NAME)
    assert writers
    assert threading.get_ident() not in writers


async def test_many_small_and_empty_files_arrive(tmp_path: Path) -> None:
    """Real datasets are often thousands of small files; one round trip for each would take minutes."""
    sites = Sites(tmp_path, files=300, size_bytes=700)
    (tmp_path / "data" / "empty").touch()
    (tmp_path / "data" / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "data" / "run.sh").chmod(0o755)
    sites.manifest = sites.source.take_in({"": tmp_path / "data"})
    sites.ask()
    async with sites.target():
        assert (await sites.transport.ended(NAME)).state == State.STATE_DONE
    assert read_folder(sites.replicas.files(sites.manifest.digest)).digest == sites.manifest.digest


async def test_nothing_in_a_replica_can_be_written(tmp_path: Path) -> None:
    """A program that tidies up its inputs would tidy up those of every job after it."""
    (tmp_path / "data" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "er" / "x").touch()
    sites = Sites(tmp_path / "sites", size_bytes=MIB)
    sites.manifest = sites.source.take_in({"": tmp_path / "data"})
    sites.ask()
    async with sites.target():
        await sites.transport.ended(NAME)
    for replicas in (sites.source, sites.replicas):
        home = replicas.files(sites.manifest.digest).parent
        assert {path.stat().st_mode & 0o222 for path in (home, *home.rglob("*"))} == {0}


async def test_a_flipped_byte_is_found_and_sent_again(tmp_path: Path) -> None:
    """Silent damage on the way must never become somebody's data."""
    sites = Sites(tmp_path)
    damaged: list[int] = []

    def flip(answer: agent_pb.FetchChunksResponse) -> agent_pb.FetchChunksResponse:
        if not damaged:
            damaged.append(answer.range)
            content = bytearray(answer.content)
            content[len(content) // 2] ^= 1
            answer.content = bytes(content)
        return answer

    sites.data_path.fault = flip
    sites.ask()
    async with sites.target():
        transfer = await sites.transport.ended(NAME)
    assert transfer.state == State.STATE_DONE
    assert transfer.receipt.chunks_again == 1
    assert transfer.receipt.bytes_received == sites.manifest.size_bytes + 4 * MIB
    assert read_folder(sites.replicas.files(sites.manifest.digest)).digest == sites.manifest.digest


async def test_damage_on_the_targets_disk_is_found_at_the_end(tmp_path: Path) -> None:
    """The digest is recomputed from disk, not from what passed by."""
    sites = Sites(tmp_path)
    sites.ask(rate_bps=400_000_000)
    async with sites.target() as journal:
        await sites.transport.progressed(NAME, 2)
        done = min(journal.verified_chunks(NAME))
        with (tmp_path / "target" / "incoming" / "t1" / "files" / "file-0").open("r+b") as file:
            file.seek(done * 4 * MIB + 5)
            file.write(b"damage")
        transfer = await sites.transport.ended(NAME)
    assert transfer.state == State.STATE_DONE
    assert transfer.receipt.chunks_again > 0
    assert read_folder(sites.replicas.files(sites.manifest.digest)).digest == sites.manifest.digest


async def test_a_killed_target_goes_on_where_it_was(tmp_path: Path) -> None:
    """A crash late in a long transfer must not send it all again: at most what was on its way."""
    sites = Sites(tmp_path, size_bytes=64 * MIB)
    sites.ask(rate_bps=400_000_000)
    async with sites.target():
        await sites.transport.progressed(NAME, 4)
    sent_before = sites.data_path.chunks_sent
    async with sites.target():
        transfer = await sites.transport.ended(NAME)
        await sites.accounting.has(lambda record: record.transfer == NAME)
    assert sent_before >= 4
    assert transfer.state == State.STATE_DONE
    assert transfer.receipt.chunks_again <= 2
    assert sites.data_path.chunks_sent <= transfer.progress.chunks + 2
    assert len(sites.accounting.records) == 1


async def test_a_source_that_comes_back_is_asked_for_the_rest(tmp_path: Path) -> None:
    """A source's restart is a pause, not an end."""
    sites = Sites(tmp_path, size_bytes=64 * MIB)
    sites.ask(rate_bps=400_000_000)
    async with sites.target():
        await sites.transport.progressed(NAME, 4)
        sites.data_path.away = Unavailable("NOT_READY", "the source is away")
        await asyncio.sleep(0)
        sites.data_path.away = None
        transfer = await sites.transport.ended(NAME)
    assert transfer.state == State.STATE_DONE
    assert transfer.receipt.chunks_again <= 2


async def test_a_source_that_stays_away_fails_the_transfer(tmp_path: Path) -> None:
    """Waiting has a bound, and the reason says what was waited for."""
    sites = Sites(tmp_path, size_bytes=MIB)
    sites.patience_s = 0.2
    sites.data_path.away = Unavailable("NOT_READY", "the source is away")
    sites.ask()
    async with sites.target():
        transfer = await sites.transport.ended(NAME)
    assert transfer.state == State.STATE_FAILED
    assert transfer.state_reason.code == "SOURCE_UNREACHABLE"
    assert not sites.accounting.records


async def test_a_disk_that_fails_ends_the_transfer_and_not_the_site(tmp_path: Path) -> None:
    """One dataset that cannot be written down must not take a site's other work with it, at every restart anew."""
    sites = Sites(tmp_path, size_bytes=MIB)
    (sites.replicas.incoming("t1") / "file-0").mkdir(parents=True)
    sites.ask()
    async with sites.target():
        transfer = await sites.transport.ended(NAME)
        sites.ask(name="transfers/t2")
        other = await sites.transport.ended("transfers/t2")
    assert transfer.state == State.STATE_FAILED
    assert transfer.state_reason.code == "DISK_FAULT"
    assert other.state == State.STATE_DONE


async def test_a_defect_of_the_agent_fails_the_transfer_that_met_it(tmp_path: Path) -> None:
    """One dataset that a line of ours cannot bear must not end a site, and again after each restart."""
    sites = Sites(tmp_path, size_bytes=MIB)

    def wrong(answer: agent_pb.FetchChunksResponse) -> agent_pb.FetchChunksResponse:
        raise ZeroDivisionError(answer.range)

    sites.data_path.fault = wrong
    sites.ask()
    async with sites.target():
        transfer = await sites.transport.ended(NAME)
        sites.data_path.fault = None
        sites.ask(name="transfers/t2")
        other = await sites.transport.ended("transfers/t2")
    assert transfer.state == State.STATE_FAILED
    assert transfer.state_reason.code == "AGENT_DEFECT"
    assert other.state == State.STATE_DONE


async def test_another_dataset_than_promised_is_not_taken(tmp_path: Path) -> None:
    """A name must not bring other content in."""
    sites = Sites(tmp_path, size_bytes=MIB)
    (tmp_path / "data" / "file-0").write_text("other")
    other = sites.source.take_in({"": tmp_path / "data"})
    (tmp_path / "source" / "replicas" / other.digest).rename(tmp_path / "source" / "replicas" / ("ab" * 32))
    sites.ask(digest="ab" * 32)
    async with sites.target():
        transfer = await sites.transport.ended(NAME)
    assert transfer.state == State.STATE_FAILED
    assert transfer.state_reason.code == "DIGEST_MISMATCH"


async def test_data_that_is_here_already_is_not_moved_or_charged(tmp_path: Path) -> None:
    """Nobody pays for bytes that did not move."""
    sites = Sites(tmp_path, size_bytes=MIB)
    sites.replicas.take_in({"": tmp_path / "data"})
    sites.ask()
    async with sites.target():
        transfer = await sites.transport.ended(NAME)
    assert transfer.receipt.bytes_received == 0
    assert sites.data_path.chunks_sent == 0
    assert not sites.accounting.records


async def test_a_cancelled_transfer_leaves_nothing(tmp_path: Path) -> None:
    """Half a dataset is of no use to anybody and must not fill the disk."""
    sites = Sites(tmp_path)
    sites.ask(rate_bps=40_000_000)
    async with sites.target():
        await sites.transport.progressed(NAME, 1)
        sites.transport.transfers[NAME].state = State.STATE_CANCELLED
        sites.transport.put(sites.transport.transfers[NAME])
        async with asyncio.timeout(60):
            while (tmp_path / "target" / "incoming" / "t1").exists():  # noqa: ASYNC110 - a folder
                await asyncio.sleep(0)
    assert not sites.replicas.has(sites.manifest.digest)


@pytest.mark.parametrize("rate_bps", [20_000_000, 100_000_000])
async def test_a_paced_transfer_keeps_to_its_rate(tmp_path: Path, rate_bps: int) -> None:
    """Whoever reserved the rest of the link must get it: never above the rate, and on an idle machine close to it."""
    for attempt in range(TRIES_MAX):
        sites = Sites(tmp_path / str(attempt), size_bytes=rate_bps // 8 * 2)
        sites.ask(rate_bps=rate_bps)
        async with sites.target():
            transfer = await sites.transport.ended(NAME)
        reached = transfer.receipt.bytes_received * 8000 / transfer.receipt.elapsed_ms / rate_bps
        assert reached <= 1.02
        if reached >= 0.80:
            return
    raise AssertionError(f"{reached:.2f} of the rate is reached, and never more")


def test_the_clock_of_a_pace_needs_no_waiting() -> None:
    """A sender that was held up may catch up for half a second, and no more."""
    clock = HandClock()
    pace = Pace(8_000_000, spent_until=clock.monotonic())
    pace = pace.after(1_000_000, clock.monotonic())
    assert pace.spent_until == 1.0
    clock.advance(10)
    assert pace.after(1_000_000, clock.monotonic()).spent_until == 11.0 - CATCH_UP_S


async def test_a_defect_over_one_transfer_that_is_shown_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message that we do not know what to do with would end the whole site, and every time it starts again."""
    look_at = Transfers._look_at

    async def look_right(transfers: Transfers, transfer: State, tasks: asyncio.TaskGroup) -> None:
        if transfer.name == NAME:
            raise ZeroDivisionError("ours")
        await look_at(transfers, transfer, tasks)

    monkeypatch.setattr(Transfers, "_look_at", look_right)
    sites = Sites(tmp_path, size_bytes=1000)
    sites.ask()
    sites.ask(name="transfers/t2")
    async with sites.target():
        assert (await sites.transport.ended("transfers/t2")).state == State.STATE_DONE
