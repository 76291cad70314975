"""Watches on three real members, and on a member of our own that misbehaves by script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3 import Batch, Client, Event, Op, Reset, connect

Answers = Callable[[pb.WatchRequest], AsyncIterator[pb.WatchResponse]]


async def test_a_transaction_arrives_whole_and_in_order(client: Client, prefix: str) -> None:
    """A follower that sees half a commit decides on a state that never was."""
    start = await client.put(prefix + "before", b"")
    one = await client.txn([], [Op.put(f"{prefix}{n}", b"x") for n in range(50)])
    two = await client.txn([], [Op.delete(f"{prefix}0"), Op.put(f"{prefix}1", b"y")])

    seen = await collected(client, prefix, start, until=two.revision)

    assert {e.mod_revision for e in seen[:50]} == {one.revision}
    assert {e.key.decode() for e in seen[:50]} == {f"{prefix}{n}" for n in range(50)}
    assert {(e.kind, e.key.decode(), e.value) for e in seen[50:]} == {
        ("delete", f"{prefix}0", b""),
        ("put", f"{prefix}1", b"y"),
    }


async def test_history_larger_than_a_message_arrives_once(client: Client, prefix: str) -> None:
    """A follower that was away long gets its past in fragments; none may be lost or doubled where they are joined."""
    start = await client.put(prefix, b"")
    revisions = [await client.put(f"{prefix}{n}", bytes(900_000)) for n in range(6)]

    seen = await collected(client, prefix, start, until=revisions[-1])

    assert [event.mod_revision for event in seen] == revisions
    assert all(len(event.value) == 900_000 for event in seen)


async def test_compaction_under_a_watch_becomes_a_difference(other: Client, door: Any, prefix: str) -> None:
    """A mirror that was cut off while history was thrown away must end up with the truth, deletions included."""
    await other.txn([], [Op.put(prefix + name, b"1") for name in ("changed", "gone", "same")])
    snapshot = await other.snapshot(prefix)
    known = {kv.key: kv.mod_revision for kv in snapshot.kvs}
    async with (
        connect([door.address]) as far,
        aclosing(far.watch(prefix, after_revision=snapshot.revision, known=known)) as changes,
    ):
        await other.put(prefix + "first", b"1")
        assert isinstance(await anext(changes), Batch)
        door.shut = True
        door.drop()
        await other.put(prefix + "changed", b"2")
        await other.delete(prefix + "gone")
        await other.put(prefix + "new", b"1")
        await other.compact(await other.put(prefix + "passing", b""))
        await other.delete(prefix + "passing")
        await other.compact((await other.snapshot(prefix)).revision)
        door.shut = False
        door.drop()

        reset = await anext(changes)
        after = await other.put(prefix + "changed", b"3")
        batch = await anext(changes)

    assert isinstance(reset, Reset)
    assert reset.reason == "compacted"
    assert {(e.kind, e.key.decode().removeprefix(prefix), e.value) for e in reset.events} == {
        ("put", "changed", b"2"),
        ("put", "new", b"1"),
        ("delete", "gone", b""),
    }
    assert isinstance(batch, Batch)
    assert [(e.value, e.mod_revision) for e in batch.events] == [(b"3", after)]


async def test_a_slow_follower_loses_nothing(client: Client, other: Client, prefix: str) -> None:
    """A consumer busy with one change must find all later ones waiting."""
    start = await client.put(prefix, b"")
    async with aclosing(client.watch(prefix, after_revision=start)) as changes:
        await other.put(prefix + "first", b"")
        seen = list((await anext(changes)).events)
        last = 0
        for n in range(40):
            result = await other.txn([], [Op.put(f"{prefix}{n}/{k}", bytes(500)) for k in range(100)])
            last = result.revision
        while seen[-1].mod_revision < last:
            seen += (await anext(changes)).events

    assert len({event.key for event in seen}) == len(seen) == 4_001


async def test_a_watch_resumes_after_what_it_delivered_and_drops_what_comes_again() -> None:
    """Headers run ahead of events, and members replay: resuming by header loses, believing a replay doubles."""
    starts: list[int] = []

    async def member(create: pb.WatchRequest) -> AsyncIterator[pb.WatchResponse]:
        starts.append(create.create_request.start_revision)
        yield answered(500, created=True)
        if len(starts) == 1:
            yield answered(500, changed(101), changed(102))
            return
        if len(starts) == 2:
            return
        yield answered(500, changed(102), changed(103))
        await asyncio.Event().wait()

    async with (
        Scripted(member) as address,
        connect([address]) as client,
        aclosing(client.watch("k", after_revision=100)) as changes,
    ):
        first, second = await anext(changes), await anext(changes)

    assert starts == [101, 103, 103]
    assert [[e.mod_revision for e in batch.events] for batch in (first, second)] == [[101, 102], [103]]


async def test_fragments_of_a_broken_stream_are_not_delivered() -> None:
    """Half a revision delivered before the stream broke would be doubled or torn by the other half."""
    starts: list[int] = []

    async def member(create: pb.WatchRequest) -> AsyncIterator[pb.WatchResponse]:
        starts.append(create.create_request.start_revision)
        yield answered(7, created=True)
        if len(starts) == 1:
            yield answered(7, changed(7, b"ka"), fragment=True)
            return
        yield answered(7, changed(7, b"ka"), fragment=True)
        yield answered(7, changed(7, b"kb"))
        await asyncio.Event().wait()

    async with (
        Scripted(member) as address,
        connect([address]) as client,
        aclosing(client.watch("k", after_revision=6)) as changes,
    ):
        batch = await anext(changes)

    assert starts == [7, 7]
    assert [event.key for event in batch.events] == [b"ka", b"kb"]


async def test_a_long_history_is_delivered_while_it_still_comes() -> None:
    """Who catches up on a long absence must not hold it all in memory, nor begin anew where a stream breaks."""
    starts: list[int] = []

    async def member(create: pb.WatchRequest) -> AsyncIterator[pb.WatchResponse]:
        starts.append(create.create_request.start_revision)
        yield answered(8, created=True)
        if len(starts) == 1:
            yield answered(8, changed(7, b"ka"), changed(7, b"kb"), changed(8, b"ka"), fragment=True)
            return
        yield answered(8, changed(8, b"ka"), changed(8, b"kb"))
        await asyncio.Event().wait()

    async with (
        Scripted(member) as address,
        connect([address]) as client,
        aclosing(client.watch("k", after_revision=6)) as changes,
    ):
        first, second = await anext(changes), await anext(changes)

    assert starts == [7, 8]
    assert [(batch.revision, [e.key for e in batch.events]) for batch in (first, second)] == [
        (7, [b"ka", b"kb"]),
        (8, [b"ka", b"kb"]),
    ]


async def collected(client: Client, prefix: str, after: int, *, until: int) -> list[Event]:
    """All changes up to a revision."""
    seen: list[Event] = []
    async with aclosing(client.watch(prefix, after_revision=after)) as changes:
        while not seen or seen[-1].mod_revision < until:
            batch = await anext(changes)
            assert isinstance(batch, Batch)
            assert batch.revision == batch.events[-1].mod_revision
            seen += batch.events
    return seen


def answered(revision: int, *events: pb.Event, created: bool = False, fragment: bool = False) -> pb.WatchResponse:
    return pb.WatchResponse(
        header=pb.ResponseHeader(revision=revision), created=created, fragment=fragment, events=events
    )


def changed(revision: int, key: bytes = b"k") -> pb.Event:
    return pb.Event(kv=pb.KeyValue(key=key, mod_revision=revision, create_revision=1, version=1))


class Scripted:
    """A member whose watch answers by a script, for what no healthy member does on demand."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._server = grpc.aio.server()

    async def __aenter__(self) -> str:
        handler = grpc.stream_stream_rpc_method_handler(
            self._watch,
            request_deserializer=pb.WatchRequest.FromString,
            response_serializer=pb.WatchResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("etcdserverpb.Watch", {"Watch": handler}),)
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"127.0.0.1:{port}"

    async def __aexit__(self, *exc: object) -> None:
        await self._server.stop(None)

    async def _watch(
        self,
        requests: AsyncIterator[pb.WatchRequest],
        context: grpc.aio.ServicerContext[pb.WatchRequest, pb.WatchResponse],
    ) -> AsyncIterator[pb.WatchResponse]:
        create = await anext(aiter(requests))
        async for answer in self._answers(create):
            yield answer
