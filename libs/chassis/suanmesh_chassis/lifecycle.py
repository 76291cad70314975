"""The life of one service process: listen, be found, lead, serve, drain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Generic, TypeVar

import structlog

from suanmesh_chassis.ca import server_name
from suanmesh_chassis.components import Components
from suanmesh_chassis.discovery import Directory, Record, Registration
from suanmesh_chassis.etcd_members import EtcdMembers
from suanmesh_chassis.hello import own_hello
from suanmesh_chassis.kept_certificates import KeptCertificates
from suanmesh_chassis.keyring import KeyRing, PublishedKey
from suanmesh_chassis.monitoring import Monitoring
from suanmesh_chassis.parts import Listener, Parts, ServiceContext
from suanmesh_chassis.process import Process
from suanmesh_chassis.revocations import Revocations
from suanmesh_chassis.service_server import ServiceServer
from suanmesh_chassis.waiting import first_of
from suanmesh_chassis.watch_lag import WatchLag
from suanmesh_kernel.addresses import told_address
from suanmesh_kernel.clock import Rng
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_sdk.status import MESH_DOMAIN
from suanmesh_store import NOT_LEADING, Keyspace, KeyspaceError, Leadership
from suanmesh_store.database_faults import fault_of
from suanmesh_store.layout import election_key
from suanmesh_store.store import KeyspaceStore
from suanmesh_telemetry import names
from suanmesh_telemetry.readings import Reading, Readings

S = TypeVar("S")

log = structlog.get_logger()

FAREWELL_S = 2.0
"""How long etcd is waited for at the end; what cannot be withdrawn lapses with its lease."""
CAMPAIGN_PAUSE_S = 0.5
BUILD_PAUSE_S = 1.0
"""When building is tried again after something stood in its way, seconds; another instance may lead meanwhile."""


class Lifecycle(Generic[S]):
    """One process from its first listener to its last call."""

    def __init__(
        self,
        process: Process,
        keys: Keyspace,
        settings: S,
        rng: Rng,
        *,
        edge: bool = False,
        members: EtcdMembers | None = None,
    ) -> None:
        """`members` are those that hold `keys`, where these are etcd's."""
        self._process = process
        self._keys = keys
        self._settings = settings
        self._rng = rng
        self._edge = edge
        self._found = KeyspaceStore(keys, process.area, process.clock, rng)
        self._directory = Directory(self._found)
        self._keyring = KeyRing(self._found, process.common.node, process.clock)
        self._published = PublishedKey(self._found, self._keyring, process.signer, process.identity, process.clock)
        self._certificates = KeptCertificates(process, self._directory)
        self._revocations = Revocations(self._found)
        self._server = ServiceServer(process, self._keyring, self._not_yet, self._revocations)
        self._revocations.changed = self._server.end_revoked
        self._monitoring = Monitoring(process, self._server.health, self._revocations)
        self._watch_lag = WatchLag(process.clock, self._directory)
        self._members = members
        self._leads = False
        self._obstacle: Refusal | None = None
        """What kept this instance from serving when it was last to begin."""

    async def live(self, build: Callable[[ServiceContext[S]], Awaitable[Parts]], stop: asyncio.Event) -> None:
        """Serve until `stop` is set. Raises what made it impossible, or an ExceptionGroup of what a task raised.

        What any instance serves is built once; what the leader does at the begin of each term, and a lead that was lost
        ends it. Where what is needed cannot be had for now, such as room on the disk, it is tried again: until then
        calls are told why.
        """
        async with asyncio.TaskGroup() as tasks:
            address = await self._server.listen(self._listener())
            log.info("listening", address=address)
            address = told_address(address, self._process.common.advertise, field="advertise")
            registration = Registration(self._found, self._record(address), self._process.common.lease_s)
            followed = [self._directory.run, self._keyring.run, self._published.run, registration.run]
            followed += [self._certificates.run, self._revocations.run]
            if self._process.common.metrics_listen:
                followed += [self._monitoring.run, partial(self._watch_lag.run, registration)]
                if self._members is not None:
                    followed += [self._members.run]
                    self._monitoring.show(self._members.readings)
            kept = [tasks.create_task(each()) for each in followed]
            try:
                await self._known(stop)
                while not stop.is_set():
                    await self._serve(build, registration, address, stop)
                await _farewell(registration.withdraw())
                await _farewell(self._published.withdraw())
            finally:
                await self._server.stop(0)
                for task in kept:
                    task.cancel()

    async def _serve(
        self,
        build: Callable[[ServiceContext[S]], Awaitable[Parts]],
        registration: Registration,
        address: str,
        stop: asyncio.Event,
    ) -> None:
        """Serve what any instance does, and lead whenever it is this one's turn, until `stop` is set."""
        async with AsyncExitStack() as closing, asyncio.TaskGroup() as tasks:
            try:
                parts = await self._built(build, closing)
            except Exception as failure:
                if not self._puts_off(failure):
                    raise
                await self._pause(stop)
                return
            running = self._run(tasks, parts, "replica")
            shown = [self._watch_lag.readings, self._standing(parts), *parts.readings]
            closing.enter_context(self._monitoring.showing(shown))
            registration.tell(leader=False)
            if parts.term is None:
                log.info("serving")
                await first_of(stop)
            while parts.term is not None and not stop.is_set():
                leadership = await self._lead(address, stop)
                if leadership is not None:
                    await self._term(parts.term, leadership, registration, stop)
            await self._drain(registration)
            for task in running:
                task.cancel()

    async def _term(
        self,
        begin: Callable[[ServiceContext[S]], Awaitable[Parts]],
        leadership: Leadership,
        registration: Registration,
        stop: asyncio.Event,
    ) -> None:
        try:
            async with AsyncExitStack() as closing, asyncio.TaskGroup() as tasks:
                try:
                    parts = await begin(self._service_context(leadership, closing))
                    await self._server.begin_term(parts.servicers, parts.requests)
                except Exception as failure:
                    if leadership.alive and not self._puts_off(failure):
                        raise
                    await _farewell(leadership.resign())  # another may lead, for whom nothing is in the way
                    await self._pause(stop)
                    return
                self._obstacle = None
                closing.enter_context(self._monitoring.showing(parts.readings))
                running = self._run(tasks, parts, "term")
                registration.tell(leader=True)
                self._leads = True
                log.info("serving")
                await first_of(stop, leadership.lost)
                await (self._hand_over(registration, leadership) if stop.is_set() else self._server.end_term())
                for task in running:
                    task.cancel()
        except* Refusal:
            if leadership.alive:
                raise
        finally:
            self._leads = False
            await self._server.end_term()
        if not stop.is_set():
            log.warning("lead lost")
            registration.tell(leader=False)

    def _run(self, tasks: asyncio.TaskGroup, parts: Parts, whose: str) -> list[asyncio.Task[None]]:
        components = Components(self._process.area, parts.components, partial(self._server.tell_components, whose))
        return [tasks.create_task(_ran(task)) for task in (*parts.tasks, components.run)]

    def _standing(self, parts: Parts) -> Readings:
        """Whether this instance leads, of an area that is led."""
        return lambda: [] if parts.term is None else [Reading(names.LEADING, self._leads)]

    def _puts_off(self, failure: Exception) -> bool:
        """Whether what kept this instance from serving may pass; then calls are told of it until it does."""
        obstacle = _passing(failure, self._process.area)
        if obstacle is None:
            return False
        self._obstacle = obstacle
        log.error("cannot serve yet", reason=obstacle.reason, message=obstacle.message)
        return True

    async def _pause(self, stop: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(BUILD_PAUSE_S):
                await stop.wait()

    async def _lead(self, address: str, stop: asyncio.Event) -> Leadership | None:
        """Wait until this instance leads; None where it is told to stop first."""
        async with asyncio.TaskGroup() as tasks:
            campaign = tasks.create_task(self._campaign(address))
            stopped = tasks.create_task(stop.wait())
            standing_by = tasks.create_task(self._stand_by())
            deposing = tasks.create_task(self._end_dead_terms(address))
            await asyncio.wait((campaign, stopped), return_when=asyncio.FIRST_COMPLETED)
            for each in (campaign, stopped, standing_by, deposing):
                each.cancel()
        return None if campaign.cancelled() else campaign.result()

    async def _stand_by(self) -> None:
        """Tell health checks that calls may come once another instance leads: this one serves what any does."""
        while not self._directory.leader(self._process.area):
            await self._directory.changed(self._process.area)
        self._server.tell_serving()

    async def _end_dead_terms(self, address: str) -> None:
        """While another leads, end its term once its process is gone or says nothing: its lease would run on for
        seconds. Where it is there nevertheless, it writes no more: its writes have the fence of the term."""
        area = self._process.area
        while True:
            leader = self._directory.leader(area)
            if not leader or leader == address:
                await self._directory.changed(area)
            elif await self._is_gone(leader):
                try:
                    await self._keys.depose(election_key(area), leader.encode())
                except KeyspaceError as error:
                    log.warning("a dead leader stays", reason=error.kind.value, message=str(error))
                    await asyncio.sleep(CAMPAIGN_PAUSE_S)
                    continue
                log.warning("leader is gone", leader=leader)
                while self._directory.leader(area) == leader:
                    await self._directory.changed(area)

    async def _is_gone(self, leader: str) -> bool:
        """Wait until the process at that address is gone or says nothing, or the instances have changed."""
        process = self._process
        name = server_name(process.common.node, process.area)
        async with asyncio.TaskGroup() as tasks:
            gone = tasks.create_task(process.network.gone(leader))
            silent = tasks.create_task(process.network.silent(leader, name, process.tls))
            changed = tasks.create_task(self._directory.changed(process.area))
            await asyncio.wait((gone, silent, changed), return_when=asyncio.FIRST_COMPLETED)
            for each in (gone, silent, changed):
                each.cancel()
        return not (gone.cancelled() and silent.cancelled())

    async def _campaign(self, address: str) -> Leadership:
        ttl_s = self._process.common.lease_s
        while True:
            try:
                return await self._keys.campaign(election_key(self._process.area), address.encode(), ttl_s)
            except KeyspaceError as error:
                log.warning("campaign interrupted", reason=error.kind.value, message=str(error))
            await asyncio.sleep(CAMPAIGN_PAUSE_S)

    async def _known(self, stop: asyncio.Event) -> None:
        """Wait until this process knows the others and they its key, for as long as etcd is away: before that no call
        of its own would arrive. Who is revoked must be known before anybody is served.
        """
        for event in (self._directory.ready, self._published.done, self._revocations.ready):
            await first_of(event, stop)

    async def _built(self, build: Callable[[ServiceContext[S]], Awaitable[Parts]], closing: AsyncExitStack) -> Parts:
        parts = await build(self._service_context(NOT_LEADING, closing))
        for listener in parts.extra_listeners:
            log.info("listening", address=await self._server.listen(listener))
        if parts.term is None:
            await self._server.place(parts.servicers, parts.requests)
        else:
            await self._server.place_replica(parts.servicers)
        self._obstacle = None
        return parts

    def _listener(self) -> Listener:
        """At the edge a connection brings the calls of one caller; elsewhere those of all that a gateway lets in."""
        common = self._process.common
        return Listener(common.listen, streams_per_connection=common.calls_per_connection_max if self._edge else 0)

    def _service_context(self, leadership: Leadership, closing: AsyncExitStack) -> ServiceContext[S]:
        process, mesh = self._process, self._process.mesh(self._directory)
        closing.push_async_callback(mesh.close)
        process.common.data_dir.mkdir(parents=True, exist_ok=True)
        return ServiceContext(
            area=process.area,
            node=process.common.node,
            settings=self._settings,
            common=process.common,
            clock=process.clock,
            rng=self._rng,
            store=KeyspaceStore(self._keys, process.area, process.clock, self._rng, leadership),
            mesh=mesh,
            signer=process.signer,
            identity=process.identity,
            leadership=None if leadership is NOT_LEADING else leadership,
            data_dir=process.common.data_dir,
            closing=closing,
        )

    async def _hand_over(self, registration: Registration, leadership: Leadership) -> None:
        """End what the leader has under way and let the next one lead at once; reads are served until the drain."""
        log.info("handing over")
        registration.tell(leader=False, state=Record.STATE_DRAINING)
        await self._server.finish_term(self._process.common.drain_grace_s)
        await _farewell(leadership.resign())

    async def _drain(self, registration: Registration) -> None:
        """DRAINING in discovery, then to health checks, then no more calls."""
        common = self._process.common
        log.info("draining")
        registration.tell(leader=False, state=Record.STATE_DRAINING)
        await self._server.refuse_health()
        await asyncio.sleep(common.drain_notice_s)
        await self._server.stop(common.drain_grace_s)

    def _record(self, address: str) -> Record:
        process = self._process
        return Record(
            area=process.area,
            id=process.instance,
            address=address,
            state=Record.STATE_STARTING,
            hello=own_hello(),
        )

    def _not_yet(self) -> Refusal:
        leader = self._directory.leader(self._process.area)
        if self._obstacle is not None and not leader:
            found = self._obstacle
            return Unavailable(found.reason, found.message, domain=MESH_DOMAIN)
        message = f"this instance does not lead {self._process.area}; {leader or 'nobody known'} does"
        return Unavailable("NOT_LEADER", message, leader=leader)


def _passing(failure: Exception, area: str) -> Refusal | None:
    """What kept a service from being built, where it may be had later and is no defect; of a group the first such."""
    if isinstance(failure, ExceptionGroup):
        found = [_passing(each, area) for each in failure.exceptions]
        return found[0] if all(found) else None
    if isinstance(failure, Unavailable):
        return failure
    return fault_of(failure, f"the store of {area}")


async def _ran(task: Callable[[], Awaitable[None]]) -> None:
    await task()


async def _farewell(last: Awaitable[None]) -> None:
    """Try for a bounded time: a process that was told to stop must stop, also without etcd."""
    try:
        async with asyncio.timeout(FAREWELL_S):
            await last
    except (TimeoutError, Refusal, KeyspaceError) as error:
        log.warning("farewell cut short", message=str(error))
