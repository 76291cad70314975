"""A process from its first listener to its last call: found, leading, draining, ended."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_chassis import Call, Parts, Served, ServiceContext
from suanmesh_chassis.discovery import Directory
from suanmesh_chassis.probe import PROBE_SERVICE, Probe, Probes
from suanmesh_chassis.run import main
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_sdk import InstanceState
from suanmesh_sdk.status import RemoteDefect
from suanmesh_store import MemoryKeyspace, MemoryStore
from suanmesh_store.keyspace import KeyspaceError, KeyspaceErrorKind, Listing
from suanmesh_store.records import RecordKind, Records, open_records
from tests.service.chassis.town import Town, begun


@dataclass(frozen=True)
class ProbeSettings:
    """None at all."""


class AwayKeyspace(MemoryKeyspace):
    """An etcd that cannot be reached until it is `there`."""

    def __init__(self) -> None:
        super().__init__()
        self.there = asyncio.Event()
        self.asked = asyncio.Event()

    async def scan(self, prefix: str) -> Listing:
        """What is under a prefix."""
        self.asked.set()
        if not self.there.is_set():
            raise KeyspaceError(KeyspaceErrorKind.UNREACHABLE, "etcd cannot be reached")
        return await super().scan(prefix)


def sqlite3_error(message: str, code: int) -> sqlite3.Error:
    """An error as SQLite raises it."""
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


async def answered_at_last(client: Any) -> Any:
    """The answer, once the process serves."""
    async with asyncio.timeout(60):
        while True:
            with suppress(Unavailable):
                return await client.unary("Read", "hello")


async def test_a_process_is_found_served_and_gone(town: Town, connect: Any) -> None:
    """Callers find an instance by its record alone; one that has ended must not be found."""
    async with town.living():
        (instance,) = await town.seen(lambda found: [each.leader for each in found] == [True])
        answer = await connect(at=instance.address).unary("Read", "hello")

    assert answer.text.endswith("hello")
    assert await town.seen(lambda found: not found) == []


async def test_a_process_is_found_where_it_says_it_is_reached(town: Town) -> None:
    """Behind a proxy or in a container, the address a process listens on leads callers nowhere."""
    async with town.living(advertise="mesh.example:7001"):
        (instance,) = await town.seen(lambda found: [each.leader for each in found] == [True])

    assert instance.address == "mesh.example:7001"


async def test_a_process_that_drains_says_so_before_it_ends(town: Town, connect: Any) -> None:
    """A call that is under way when a service is restarted must be answered."""
    async with town.living() as stop, asyncio.TaskGroup() as tasks:
        (instance,) = await town.seen(lambda found: [each.leader for each in found] == [True])
        call = tasks.create_task(connect(at=instance.address).unary("Read", "finish"))
        await town.probes.begun.wait()
        stop.set()
        await town.seen(lambda found: [each.state for each in found] == [InstanceState.DRAINING])
        town.probes.may_finish.set()

    assert call.result().text.endswith("finish")


async def test_a_process_that_starts_while_etcd_is_away_waits_for_it(town: Town) -> None:
    """A gateway that ended after ten seconds without etcd left a traceback, and the node without its address."""
    keys = AwayKeyspace()
    town.keys = keys
    town.directory = Directory(MemoryStore("registry", keys=keys))
    async with town.living(leads=False) as stop, asyncio.TaskGroup() as tasks:
        await keys.asked.wait()
        assert (town.contexts, stop.is_set()) == ([], False)
        keys.there.set()
        watching = tasks.create_task(town.directory.run())
        await town.seen(lambda found: len(found) == 1 and len(town.contexts) == 1)
        watching.cancel()


async def test_a_process_that_is_told_to_stop_while_etcd_is_away_stops(town: Town) -> None:
    """Whoever ends a node must not wait for an etcd that is gone already."""
    town.keys = keys = AwayKeyspace()
    async with asyncio.timeout(60), town.living(leads=False) as stop:
        await keys.asked.wait()
        stop.set()


async def test_the_second_instance_says_where_the_leader_is(town: Town, connect: Any) -> None:
    """Two writers of one prefix would undo each other's work."""
    async with town.living():
        (first,) = await town.seen(lambda found: [each.leader for each in found] == [True])
        async with town.living():
            both = await town.seen(lambda found: len(found) == 2)
            (second,) = [each for each in both if not each.leader]
            with pytest.raises(Refusal) as caught:
                await connect(at=second.address).unary("Read", "hello")

    assert (caught.value.code, caught.value.reason) == ("UNAVAILABLE", "NOT_LEADER")
    assert caught.value.facts == {"leader": first.address}
    assert len(town.contexts) == 1


async def test_the_second_instance_takes_over_when_the_first_ends(town: Town) -> None:
    """An area without a leader takes no job."""
    async with town.living() as stop_first:
        (first,) = await town.seen(lambda found: [each.leader for each in found] == [True])
        async with town.living():
            await town.seen(lambda found: len(found) == 2)
            stop_first.set()
            (heir,) = await town.seen(lambda found: [each.leader for each in found] == [True] and first not in found)

    assert heir.address != first.address
    assert town.contexts[1].leadership is not None
    assert town.contexts[0].leadership is not None
    assert town.contexts[1].leadership.fence > town.contexts[0].leadership.fence


async def test_a_process_that_has_lost_its_lead_ends_its_term_and_begins_another(town: Town) -> None:
    """A leader that does not know it was replaced goes on to decide; one that gives up for good leaves a gap."""
    ended: list[str] = []

    async def working() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("task")

    async def close() -> None:
        ended.append("closed")

    async def build(context: ServiceContext[None]) -> Parts:
        town.contexts.append(context)
        context.closing.push_async_callback(close)
        return Parts([Served(PROBE_SERVICE, town.probes)], tasks=[working])

    async with town.living(build):
        await town.seen(lambda found: [each.leader for each in found] == [True])
        first: Any = town.contexts[0].leadership
        await first.resign()
        await town.seen(lambda _: len(town.contexts) == 2)
        assert ended == ["task", "closed"]
        await town.seen(lambda found: [each.leader for each in found] == [True])

    second = town.contexts[1].leadership
    assert second is not None
    assert second.fence > first.fence


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "DISK_FULL"),
        (sqlite3_error("database or disk is full", sqlite3.SQLITE_FULL), "DISK_FULL"),
        (sqlite3_error("disk I/O error", sqlite3.SQLITE_IOERR_WRITE), "STORE_AWAY"),
        (Unavailable("STORE_AWAY", "etcd cannot be reached"), "STORE_AWAY"),
        (ExceptionGroup("mirrors", [Unavailable("STORE_AWAY", "etcd cannot be reached")] * 2), "STORE_AWAY"),
    ],
)
async def test_a_process_that_cannot_begin_says_why_and_begins_later(
    town: Town, connect: Any, failure: Exception, reason: str
) -> None:
    """A service that ended because its disk was full when its turn came left its operator nothing but a traceback."""
    room = asyncio.Event()
    tried, closed = asyncio.Event(), []

    async def build(context: ServiceContext[None]) -> Parts:
        context.closing.callback(closed.append, "closed")
        tried.set()
        if not room.is_set():
            raise failure
        return await town.build(context)

    async with town.living(build, leads=False):
        await tried.wait()
        (instance,) = await town.seen(lambda found: len(found) == 1)
        with pytest.raises(Unavailable) as told:
            await connect(at=instance.address).unary("Read", "hello")
        assert told.value.reason == reason
        room.set()
        answer = await answered_at_last(connect(at=instance.address))
        assert answer.text.endswith("hello")
        tries = len(closed)
    assert len(closed) == tries + 1 >= 2


async def test_a_leader_that_cannot_begin_lets_another_one_lead(town: Town, connect: Any) -> None:
    """With one full disk of two the area is served from the other."""

    async def build(context: ServiceContext[None]) -> Parts:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with town.living(build), town.living():
        found = await town.seen(lambda found: [each.leader for each in found].count(True) == 1)
        (leader,) = [each for each in found if each.leader]
        assert (await connect(at=leader.address).unary("Read", "hello")).text.endswith("hello")


HISTORY = RecordKind("jobs", Job)


class Historian:
    """Answers from records that are closed with the term."""

    def __init__(self, records: Records, probes: Probes) -> None:
        self._records = records
        self._probes = probes

    def __getattr__(self, method: str) -> Any:
        return getattr(self._probes, method)

    async def Read(self, request: Any, call: Call) -> Any:
        if request.text == "many":
            async with asyncio.TaskGroup() as tasks:
                for _ in range(3):
                    tasks.create_task(self._records.get_many(HISTORY, ["jobs/j"]))
        for _ in range(5):
            await self._records.get_many(HISTORY, ["jobs/j"])
        return Probe(text="read")


async def test_a_change_of_lead_under_load_breaks_nothing(town: Town, connect: Any, tmp_path: Path) -> None:
    """A user whose call was under way when the lead changed is to try again, not to be told of a defect."""
    told: Counter[str] = Counter()
    answered = asyncio.Event()

    async def build(context: ServiceContext[None]) -> Parts:
        town.contexts.append(context)
        records = open_records(f"sqlite:///{tmp_path}/a", "registry", [HISTORY], context.clock, context.rng)
        context.closing.push_async_callback(records.close)
        servicer = Historian(records, town.probes)
        return Parts([Served(PROBE_SERVICE, servicer)], requests=town.probes)

    async def ask(client: Any, what: str) -> None:
        while True:
            try:
                await client.unary("Read", what)
                told["OK"] += 1
                answered.set()
            except Refusal as refusal:
                told[refusal.code] += 1
            except RemoteDefect as defect:
                told[f"INTERNAL {defect}"] += 1

    async with town.living(build), asyncio.TaskGroup() as tasks:
        (first,) = await town.seen(lambda found: [each.leader for each in found] == [True])
        client = connect(at=first.address)
        asking = [tasks.create_task(ask(client, what)) for what in ("one", "many") * 8]
        for term in range(1, 6):
            for _ in range(20):
                answered.clear()
                await answered.wait()
            leadership: Any = town.contexts[-1].leadership
            await leadership.resign()
            await town.seen(partial(begun, town.contexts, term))
        for each in asking:
            each.cancel()

    assert told["OK"] > 0
    assert told["UNAVAILABLE"] > 0
    assert set(told) == {"OK", "UNAVAILABLE"}


async def test_a_stream_ends_with_the_lead_behind_it(town: Town, connect: Any) -> None:
    """A watch whose mirror is gone would stay open and silent for ever, and a site would wait for work in vain."""
    async with town.living():
        (first,) = await town.seen(lambda found: [each.leader for each in found] == [True])
        stream = connect(at=first.address).server_stream("List", "silent")
        await stream.read()
        term: Any = town.contexts[0].leadership
        await term.resign()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "does not lead" in (caught.value.details() or "")


class _Large(Probes):
    """Whose first answer takes as long as its caller likes."""

    async def List(self, request: Any, call: Call) -> AsyncIterator[Any]:
        try:
            yield Probe(text="x" * 2_000_000)
            await asyncio.Event().wait()
        finally:
            self.closed.set()


async def test_a_stream_ends_with_the_lead_also_while_its_first_answer_is_on_its_way(town: Town, connect: Any) -> None:
    """Who follows over a slow line would never hear that there is another leader, and wait until its time is over."""
    large = _Large()

    async def build(context: ServiceContext[None]) -> Parts:
        town.contexts.append(context)
        return Parts([Served(PROBE_SERVICE, large)])

    async with town.living(build):
        (first,) = await town.seen(lambda found: [each.leader for each in found] == [True])
        stream = connect(at=first.address).server_stream("List")
        await stream.initial_metadata()
        term: Any = town.contexts[0].leadership
        await term.resign()
        await large.closed.wait()
        with suppress(grpc.aio.AioRpcError):
            await stream.read()

    assert await stream.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_task_that_breaks_ends_the_process(town: Town) -> None:
    """A service whose reconciler is dead looks alive and does nothing."""

    async def broken() -> None:
        raise ZeroDivisionError

    async def build(context: ServiceContext[None]) -> Parts:
        return Parts([Served(PROBE_SERVICE, town.probes)], tasks=[broken])

    async def lived() -> None:
        async with town.living(build):
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await lived()

    assert caught.value.split(ZeroDivisionError)[1] is None


def test_wrong_settings_are_named_before_anything_is_opened(capsys: pytest.CaptureFixture[str]) -> None:
    """An operator who mistyped a number must read which one."""

    async def build(context: ServiceContext[ProbeSettings]) -> Parts:
        raise AssertionError

    status = main("probe", ProbeSettings, build, ["--check"], {"SUANMESH_LEASE_S": "five"})

    assert (status, "SUANMESH_LEASE_S" in capsys.readouterr().err) == (2, True)


def test_right_settings_are_checked_and_nothing_is_started(node_folder: Path) -> None:
    """Whoever deploys wants to know before the old process is stopped."""

    async def build(context: ServiceContext[ProbeSettings]) -> Parts:
        raise AssertionError

    assert main("probe", ProbeSettings, build, ["--check"], {"SUANMESH_TLS_DIR": str(node_folder)}) == 0
