"""Leases that tell the truth: a lease counts as lost when its own clock says so, whatever the network says."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Self

import grpc

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3 import endpoints as ep
from suanmesh_etcd3.calls import LEASE_ATTEMPT_S_MAX, Calls
from suanmesh_etcd3.errors import EtcdError, LeaseNotFound, OutcomeUnknown, Unavailable
from suanmesh_etcd3.watch import HAS_LEADER

RENEWALS_PER_TTL = 3
MARGIN = 0.1
"""Part of the time to live by which a lease counts as lost early, for what clocks and scheduling may differ."""
REOPEN_S = 0.2
STREAM_SILENT_S_MAX = 1.5
SILENT_PER_TTL = 4
"""A stream that owes an answer for longer, or for this part of the time to live, is reopened on another member."""


class Lease:
    """One lease, kept alive in the background. It is alive until `deadline`, reckoned from when the last acknowledged
    keep-alive was *sent*, on the monotonic clock."""

    def __init__(self, keeper: LeaseKeeper, lease_id: int, ttl_s: float, sent: float) -> None:
        self.id = lease_id
        self.ttl_s = ttl_s
        self.lost = asyncio.Event()
        """Set once the lease cannot be counted on any more; never cleared."""
        self._keeper = keeper
        self._sent = sent
        self.acknowledged(sent, ttl_s)

    def acknowledged(self, sent: float, ttl_s: float) -> None:
        """Note that a keep-alive sent at `sent` gave the lease `ttl_s` seconds."""
        self.deadline = sent + ttl_s * (1 - MARGIN)

    @property
    def alive(self) -> bool:
        """Whether the lease can be counted on at this moment."""
        return not self.lost.is_set() and self._keeper.monotonic() < self.deadline

    @property
    def due(self) -> float:
        """When the next keep-alive is to be sent."""
        return self._sent + self.ttl_s / RENEWALS_PER_TTL

    def sending(self, now: float) -> float:
        """Note that a keep-alive is being sent."""
        self._sent = now
        return now

    async def revoke(self) -> None:
        """End the lease and delete its keys; no harm when it is gone or etcd cannot be asked: it lapses by itself."""
        await self._keeper.revoke(self)


class LeaseKeeper:
    """Keeps all leases of a client alive over one stream."""

    def __init__(self, client: Calls) -> None:
        self._client = client
        self._leases: dict[int, Lease] = {}
        self._in_flight: dict[int, list[float]] = {}
        self._more = asyncio.Event()
        """Set, and replaced, when there is a lease more."""
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._running = [self._tasks.create_task(self._keep()), self._tasks.create_task(self._expire())]
        self._running.append(self._tasks.create_task(self._client.look_at_history()))
        self._running.append(self._tasks.create_task(self._client.look_at_members()))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for task in self._running:
            task.cancel()
        await self._tasks.__aexit__(None, None, None)

    def monotonic(self) -> float:
        """Now, on the client's monotonic clock."""
        return self._client.clock.monotonic()

    async def grant(self, ttl_s: int) -> Lease:
        """Make a lease and keep it alive."""
        sent = self.monotonic()
        lease = Lease(self, await self._client.grant(ttl_s), ttl_s, sent)
        self._leases[lease.id] = lease
        more, self._more = self._more, asyncio.Event()
        more.set()
        return lease

    async def revoke(self, lease: Lease) -> None:
        """Stop keeping a lease, and end it where etcd can be asked."""
        self._drop(lease)
        try:
            await self._client.revoke(lease.id)
        except (LeaseNotFound, OutcomeUnknown, Unavailable):
            return

    def lose_all(self) -> None:
        """The server's history is another: what was promised in the one before is void."""
        for lease in list(self._leases.values()):
            self._drop(lease)

    def _drop(self, lease: Lease) -> None:
        self._leases.pop(lease.id, None)
        self._in_flight.pop(lease.id, None)
        lease.lost.set()

    async def _expire(self) -> None:
        """Tell the leases that are past their deadline, even when nothing is heard."""
        while True:
            now = self.monotonic()
            for lease in [lease for lease in self._leases.values() if now >= lease.deadline]:
                self._drop(lease)
            await self._until(lease.deadline for lease in self._leases.values())

    async def _until(self, moments: Iterable[float]) -> None:
        """Wait until the first of some moments, or until there is a lease more."""
        wait_s = min(moments, default=math.inf) - self.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if wait_s == math.inf else wait_s):
                await self._more.wait()

    async def _keep(self) -> None:
        while True:
            while not self._leases:
                await self._more.wait()
            endpoint = self._client.endpoints.pick()
            call = endpoint.calls[ep.LEASE_KEEP_ALIVE.path](metadata=HAS_LEADER)
            self._in_flight.clear()
            try:
                async with asyncio.TaskGroup() as stream:
                    stream.create_task(self._send(call))
                    stream.create_task(self._receive(call, endpoint))
            except* (grpc.aio.AioRpcError, asyncio.InvalidStateError, EtcdError, TimeoutError):
                self._client.endpoints.failed(endpoint)
            finally:
                call.cancel()
            pause = asyncio.sleep(REOPEN_S * random.uniform(0.5, 1.0))
            _, silent = await asyncio.gather(pause, self._client.says_nothing(endpoint))
            if silent:
                self._client.leave(endpoint)
            await self._led()

    async def _led(self) -> None:
        """Wait until a member answers that has a leader: one without looks again after a whole second only."""
        with suppress(EtcdError, TimeoutError):
            async with asyncio.timeout(STREAM_SILENT_S_MAX):
                await self._client.look_once(attempt_s=LEASE_ATTEMPT_S_MAX)

    async def _send(self, call: Any) -> None:
        while True:
            now = self.monotonic()
            for lease in [lease for lease in self._leases.values() if lease.due <= now or not self._known(lease)]:
                self._in_flight.setdefault(lease.id, []).append(lease.sending(now))
                async with asyncio.timeout(STREAM_SILENT_S_MAX):
                    await call.write(pb.LeaseKeepAliveRequest(ID=lease.id))
            overdue = [self._overdue(lease) for lease in self._leases.values()]
            if any(moment <= now for moment in overdue):
                raise TimeoutError
            await self._until([lease.due for lease in self._leases.values()] + overdue)

    def _overdue(self, lease: Lease) -> float:
        """When the member will have owed the answer to a keep-alive for too long."""
        owed = self._in_flight.get(lease.id)
        return owed[0] + min(STREAM_SILENT_S_MAX, lease.ttl_s / SILENT_PER_TTL) if owed else math.inf

    def _known(self, lease: Lease) -> bool:
        """Whether this stream has carried the lease before; the first thing a new stream does is to renew them all."""
        return lease.id in self._in_flight

    async def _receive(self, call: Any, endpoint: ep.Endpoint) -> None:
        met = False
        while True:
            answer = await call.read()
            if answer is grpc.aio.EOF:
                raise TimeoutError
            self._client.terms.heard(answer.header)
            if not met:
                self._client.endpoints.keep_to(endpoint)
                met = True
            lease, sent = self._leases.get(answer.ID), self._in_flight.get(answer.ID)
            if lease is None or not sent:
                continue
            if answer.TTL <= 0:
                self._drop(lease)
            else:
                lease.acknowledged(sent.pop(0), answer.TTL)
