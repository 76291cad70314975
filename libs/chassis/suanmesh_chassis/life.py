"""The life of one service process: listen, be found, lead, serve, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Generic, TypeVar

import structlog

from suanmesh_chassis.components import Components
from suanmesh_chassis.discovery import Directory, Record, Registration
from suanmesh_chassis.keyring import KeyRing, PublishedKey
from suanmesh_chassis.parts import House, Listener, Parts
from suanmesh_chassis.process import Process
from suanmesh_chassis.standing import Standing
from suanmesh_kernel.clock import Rng
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_sdk.status import MESH_DOMAIN
from suanmesh_store import Keyspace, KeyspaceTrouble, Leadership
from suanmesh_store.layout import election_key
from suanmesh_store.store import KeyspaceStore
from suanmesh_store.transactions import trouble_of

S = TypeVar("S")

log = structlog.get_logger()

FAREWELL_S = 2.0
"""How long etcd is waited for at the end; what cannot be withdrawn lapses with its lease."""
CAMPAIGN_PAUSE_S = 0.5
BUILD_PAUSE_S = 1.0
"""When building is tried again after something stood in its way, seconds; another instance may lead meanwhile."""


class Life(Generic[S]):
    """One process from its first listener to its last call."""

    def __init__(
        self, process: Process, keys: Keyspace, settings: S, rng: Rng, *, leads: bool, edge: bool = False
    ) -> None:
        self._process = process
        self._keys = keys
        self._settings = settings
        self._rng = rng
        self._leads = leads
        self._edge = edge
        self._found = KeyspaceStore(keys, process.area, process.clock, rng)
        self._directory = Directory(self._found)
        self._keyring = KeyRing(self._found, process.common.node, process.clock)
        self._published = PublishedKey(self._found, self._keyring, process.signer, process.identity, process.clock)
        self._standing = Standing(process, self._keyring, self._not_yet)
        self._obstacle: Refusal | None = None
        """What kept this instance from serving when it was last to begin."""

    async def live(self, build: Callable[[House[S]], Awaitable[Parts]], stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises what made it impossible, or an ExceptionGroup of what a task raised.

        A lead that was lost ends all that was built for it; then the process campaigns again and builds anew. So it
        does where what it needs cannot be had for now, such as room on its disk: until then calls are told why.
        """
        async with asyncio.TaskGroup() as tasks:
            address = await self._standing.listen(self._listener())
            log.info("listening", address=address)
            address = self._process.common.advertise or address
            registration = Registration(self._found, self._record(address), self._process.common.lease_s)
            followed = (self._directory.run, self._keyring.run, self._published.run, registration.run)
            kept = [tasks.create_task(each()) for each in followed]
            try:
                while not stop.is_set():
                    leadership = await self._lead(address, stop)
                    await self._known(stop, leadership)
                    if not stop.is_set():
                        await self._term(build, leadership, registration, stop)
                    elif leadership is not None:
                        await _farewell(leadership.resign())
                await _farewell(registration.withdraw())
                await _farewell(self._published.withdraw())
            finally:
                await self._standing.stop(0)
                for task in kept:
                    task.cancel()

    async def _term(
        self,
        build: Callable[[House[S]], Awaitable[Parts]],
        leadership: Leadership | None,
        registration: Registration,
        stop: asyncio.Event,
    ) -> None:
        try:
            async with AsyncExitStack() as closing, asyncio.TaskGroup() as tasks:
                try:
                    parts = await self._built(build, leadership, closing)
                except Exception as failure:
                    self._obstacle = _passing(failure, leadership, self._process.area)
                    if self._obstacle is None:
                        raise
                    log.error("cannot serve yet", reason=self._obstacle.reason, message=self._obstacle.message)
                    await self._stand_back(leadership, stop)
                    return
                self._obstacle = None
                components = Components(self._process.area, parts.components, self._standing.tell_components)
                running = [tasks.create_task(_ran(task)) for task in (*parts.tasks, components.run)]
                registration.tell(leader=True)
                log.info("serving")
                await _first(stop, *([] if leadership is None else [leadership.lost]))
                await (self._drain(registration, leadership) if stop.is_set() else self._standing.withdraw())
                for task in running:
                    task.cancel()
        except* Refusal:
            if leadership is None or leadership.alive:
                raise
        finally:
            await self._standing.withdraw()
        if not stop.is_set():
            log.warning("lead lost")
            registration.tell(leader=False)

    async def _stand_back(self, leadership: Leadership | None, stop: asyncio.Event) -> None:
        """Let another instance lead, for which nothing may be in the way, and wait a little."""
        if leadership is not None:
            await _farewell(leadership.resign())
        async with asyncio.TaskGroup() as tasks:
            stopped = tasks.create_task(stop.wait())
            await asyncio.wait((stopped,), timeout=BUILD_PAUSE_S)
            stopped.cancel()

    async def _lead(self, address: str, stop: asyncio.Event) -> Leadership | None:
        """Wait until this instance leads; None where it does not campaign or is told to stop first."""
        if not self._leads:
            return None
        async with asyncio.TaskGroup() as tasks:
            campaign = tasks.create_task(self._campaign(address))
            stopped = tasks.create_task(stop.wait())
            await asyncio.wait((campaign, stopped), return_when=asyncio.FIRST_COMPLETED)
            campaign.cancel()
            stopped.cancel()
        return None if campaign.cancelled() else campaign.result()

    async def _campaign(self, address: str) -> Leadership:
        ttl_s = self._process.common.lease_s
        while True:
            try:
                return await self._keys.campaign(election_key(self._process.area), address.encode(), ttl_s)
            except KeyspaceTrouble as trouble:
                log.warning("campaign interrupted", reason=trouble.trouble.value, message=str(trouble))
            await asyncio.sleep(CAMPAIGN_PAUSE_S)

    async def _known(self, stop: asyncio.Event, leadership: Leadership | None) -> None:
        """Wait until this process knows the others and they its key, for as long as etcd is away: before that no call
        of its own would arrive.
        """
        for event in (self._directory.ready, self._published.done):
            await _first(event, stop, *([] if leadership is None else [leadership.lost]))

    async def _built(
        self, build: Callable[[House[S]], Awaitable[Parts]], leadership: Leadership | None, closing: AsyncExitStack
    ) -> Parts:
        house = self._house(leadership, closing)
        closing.push_async_callback(house.mesh.close)
        parts = await build(house)
        for listener in parts.extra_listeners:
            log.info("listening", address=await self._standing.listen(listener))
        await self._standing.place(parts.servicers, parts.requests)
        return parts

    def _listener(self) -> Listener:
        """At the edge a connection brings the calls of one caller; elsewhere those of all that a gateway lets in."""
        common = self._process.common
        return Listener(common.listen, streams_per_connection=common.calls_per_connection_max if self._edge else 0)

    def _house(self, leadership: Leadership | None, closing: AsyncExitStack) -> House[S]:
        process = self._process
        process.common.data_dir.mkdir(parents=True, exist_ok=True)
        return House(
            area=process.area,
            node=process.common.node,
            settings=self._settings,
            common=process.common,
            clock=process.clock,
            rng=self._rng,
            store=KeyspaceStore(self._keys, process.area, process.clock, self._rng, leadership),
            mesh=process.mesh(self._directory),
            signer=process.signer,
            identity=process.identity,
            leadership=leadership,
            data_dir=process.common.data_dir,
            closing=closing,
        )

    async def _drain(self, registration: Registration, leadership: Leadership | None) -> None:
        """DRAINING in discovery, then to health checks, then no more calls; the lead is the next one's at once."""
        common = self._process.common
        log.info("draining")
        registration.tell(leader=False, draining=True)
        await self._standing.refuse_health()
        await asyncio.sleep(common.drain_notice_s)
        await self._standing.stop(common.drain_grace_s)
        if leadership is not None:
            await _farewell(leadership.resign())

    def _record(self, address: str) -> Record:
        process = self._process
        return Record(
            area=process.area,
            id=process.instance,
            address=address,
            state=Record.STATE_ACTIVE,
        )

    def _not_yet(self) -> Refusal:
        leader = self._directory.leader(self._process.area)
        if self._obstacle is not None and not leader:
            found = self._obstacle
            return Unavailable(found.reason, found.message, domain=MESH_DOMAIN)
        message = f"this instance does not lead {self._process.area}; {leader or 'nobody known'} does"
        return Unavailable("NOT_LEADER", message, leader=leader)


def _passing(failure: Exception, leadership: Leadership | None, area: str) -> Refusal | None:
    """What kept a service from being built, where it may be had later: the lead is not lost, and it is no defect."""
    if leadership is not None and not leadership.alive:
        return None
    if isinstance(failure, Unavailable):
        return failure
    return trouble_of(failure, f"the store of {area}")


async def _first(*events: asyncio.Event) -> None:
    """Return when one of them is set."""
    async with asyncio.TaskGroup() as tasks:
        waits = [tasks.create_task(event.wait()) for event in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()


async def _ran(task: Callable[[], Awaitable[None]]) -> None:
    await task()


async def _farewell(last: Awaitable[None]) -> None:
    """Try for a bounded time: a process that was told to stop must stop, also without etcd."""
    try:
        async with asyncio.timeout(FAREWELL_S):
            await last
    except (TimeoutError, Refusal, KeyspaceTrouble) as trouble:
        log.warning("farewell cut short", message=str(trouble))
