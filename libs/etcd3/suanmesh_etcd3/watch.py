"""Watching a prefix: nothing lost, nothing doubled, nothing out of order.

A watch resumes after the last revision it delivered, never after a header it was merely shown; it delivers revisions
whole, drops what it has delivered before, and when the revisions it needs are compacted away it reads everything anew
and delivers the difference as a Reset. A consumer that is slow slows the stream down; nothing is dropped for it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import grpc

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3 import endpoints as ep
from suanmesh_etcd3.calls import Calls
from suanmesh_etcd3.errors import Compacted, Denied, Unavailable, Verdict, error_of, verdict_of
from suanmesh_etcd3.values import Event, events_after, prefix_end

CREATED_S_MAX = 2.0
"""Longest wait for a member to say that the watch was begun."""
REOPEN_S = (0.02, 0.1, 0.25, 0.5, 1.0)
HAS_LEADER = (("hasleader", "true"),)
"""Asks a member to end the stream when it loses the leader, rather than to keep silent."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes of one or more whole revisions, in order; `revision` is the last of them."""

    revision: int
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Reset:
    """The history was compacted away: `events` lead from what was known to the state at `revision`.

    A put stands for a key that is new or changed, a delete for one that is gone; the order among them means nothing.
    """

    reason: str
    revision: int
    events: tuple[Event, ...]


class _HistoryReplaced(Exception):
    """The server has another history: what was delivered is to be compared with what there is."""


class _StreamEnded(Exception):
    """The member ended the stream; another is asked."""


class Watch:
    """One watch, reopened on another member whenever its stream ends."""

    def __init__(self, client: Calls, prefix: bytes, after_revision: int, known: dict[bytes, int]) -> None:
        self._client = client
        self._prefix = prefix
        self._delivered = after_revision
        self._known = known
        self._failures = 0
        self._history = client.history.number

    async def run(self) -> AsyncGenerator[Batch | Reset, None]:
        """Deliver until the consumer stops."""
        lost = ""
        while True:
            try:
                if lost:
                    reset = await self._relist(lost)
                    lost = ""
                    yield reset
                async with aclosing(self._stream()) as batches:
                    async for batch in batches:
                        self._failures = 0
                        yield batch
            except Compacted:
                lost = "compacted"
            except _HistoryReplaced:
                lost = "replaced"
            except (_StreamEnded, Unavailable):
                pause = REOPEN_S[min(self._failures, len(REOPEN_S) - 1)]
                self._failures += 1
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))

    async def _stream(self) -> AsyncGenerator[Batch, None]:
        endpoint = self._client.endpoints.pick()
        call = endpoint.calls[ep.WATCH.path](metadata=HAS_LEADER)
        self._client.history.streams.add(call)
        endpoint.streams.add(call)
        try:
            await self._begin(call)
            self._client.endpoints.answered(endpoint)
            events: list[Event] = []
            while True:
                answer = self._checked(await self._read(call))
                events += events_after(self._delivered, answer.events)
                whole, events = _whole(events, goes_on=answer.fragment)
                if whole:
                    yield self._deliver(whole)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
            self._client.endpoints.failed(endpoint)
            if isinstance(error, grpc.aio.AioRpcError) and verdict_of(error) is Verdict.FINAL:
                raise error_of(error) from error
            raise _StreamEnded from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if call in endpoint.streams or (task is not None and task.cancelling()):
                raise
            raise _StreamEnded from None  # it is to go on at another member
        finally:
            self._client.history.streams.discard(call)
            endpoint.streams.discard(call)
            call.cancel()

    async def _begin(self, call: Any) -> None:
        create = pb.WatchCreateRequest(
            key=self._prefix,
            range_end=prefix_end(self._prefix),
            start_revision=self._delivered + 1,
            fragment=True,
        )
        async with asyncio.timeout(CREATED_S_MAX):
            await call.write(pb.WatchRequest(create_request=create))
            answer = self._checked(await call.read())
        if not answer.created:
            raise _StreamEnded
        if answer.header.revision < self._client.history.revision:  # a member that is behind, or another history
            await self._client.look_once()

    def _checked(self, answer: Any) -> pb.WatchResponse:
        """An answer that goes on; raises Compacted or _StreamEnded for one that does not."""
        if answer is grpc.aio.EOF:
            raise _StreamEnded
        assert isinstance(answer, pb.WatchResponse)
        self._client.terms.heard(answer.header)
        if answer.compact_revision:
            raise Compacted(answer.compact_revision)
        if answer.canceled:
            if "permission denied" in answer.cancel_reason:
                raise Denied(answer.cancel_reason)
            raise _StreamEnded
        return answer

    def _deliver(self, events: list[Event]) -> Batch:
        known = self._known
        for event in events:
            if event.kind == "put":
                known[event.key] = event.mod_revision
            else:
                known.pop(event.key, None)
        self._delivered = events[-1].mod_revision
        self._client.history.saw(self._delivered)
        return Batch(self._delivered, tuple(events))

    async def _read(self, call: Any) -> Any:
        """The next answer. Raises _HistoryReplaced when the server turns out to have another history."""
        history = self._client.history
        if history.number == self._history:
            try:
                return await call.read()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if history.number == self._history or (task is not None and task.cancelling()):
                    raise
        raise _HistoryReplaced

    async def _relist(self, reason: str) -> Reset:
        self._history = self._client.history.number
        snapshot = await self._client.snapshot(self._prefix)
        present = {kv.key for kv in snapshot.kvs}
        events = [
            Event("put", kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)
            for kv in snapshot.kvs
            if kv.mod_revision > self._delivered or self._known.get(kv.key, 0) != kv.mod_revision
        ]
        gone = [key for key in self._known if key not in present]
        events += [Event("delete", key, b"", 0, snapshot.revision, 0, 0) for key in gone]
        self._known = {kv.key: kv.mod_revision for kv in snapshot.kvs}
        self._delivered = snapshot.revision
        return Reset(reason, snapshot.revision, tuple(events))


def _whole(events: list[Event], *, goes_on: bool) -> tuple[list[Event], list[Event]]:
    """Events whose revisions have come to their end, and those of the last one, which may go on in what comes next.

    A history is sent in a few pieces of a megabyte; to gather them all would hold what has to be read in memory twice.
    """
    if not goes_on or not events:
        return events, []
    end = len(events)
    while end and events[end - 1].mod_revision == events[-1].mod_revision:
        end -= 1
    return events[:end], events[end:]
