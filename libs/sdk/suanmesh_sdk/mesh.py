"""The mesh as one object: a typed stub for each area."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from suanmesh_kernel.addresses import RELAY
from suanmesh_kernel.clock import Rng, SystemClock, system_rng
from suanmesh_sdk.connections import Connections, Dial, GrpcDial
from suanmesh_sdk.hooks import Hook
from suanmesh_sdk.kept_gateways import FILE, KeptGateways, asking_gateways
from suanmesh_sdk.renewal import QuietRenewal, Renewal, Renewed, asking
from suanmesh_sdk.resolver import Instance, OneAddress, Resolver, gateways
from suanmesh_sdk.retries import Budgets
from suanmesh_sdk.route import Route
from suanmesh_sdk.streams import StreamStream, UnaryStream
from suanmesh_sdk.tls import Tls
from suanmesh_sdk.unary import Deserializer, Serializer, StreamUnary, UnaryUnary

if TYPE_CHECKING:
    from suanmesh.accounting.v1.accounting_service_pb2_grpc import AccountingServiceStub
    from suanmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
    from suanmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
    from suanmesh.gateway.v1.relay_service_pb2_grpc import RelayServiceStub
    from suanmesh.network_orchestrator.v1.network_orchestrator_service_pb2_grpc import NetworkOrchestratorServiceStub
    from suanmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
    from suanmesh.scheduler.v1.scheduler_service_pb2_grpc import SchedulerServiceStub
    from suanmesh.transport.v1.transport_service_pb2_grpc import TransportServiceStub
    from suanmesh_sdk.data import Data
    from suanmesh_sdk.relayed import Prover


def connect(target: str, *, tls: Tls, node: str, hook: Hook | None = None) -> Mesh:
    """The mesh behind the gateway at `target` (`host:port`), the one address a user or an agent talks to.

    Of a node with several gateways `target` has all, with commas between: where one does not answer, the next does.
    Nothing is sent before the first call. `node` is the node's name, which the gateway's certificate must carry. A
    certificate that lies in a file is renewed there once two thirds of its life are over, and beside it gateways are
    kept that came later.
    """
    if tls.key_file is None:
        return Mesh(node=node, tls=tls, resolver=gateways(target), via="gateway", hook=hook)
    known = KeptGateways(target, tls.key_file.with_name(FILE))
    return Mesh(node=node, tls=tls, resolver=known.ways, via="gateway", hook=hook, renews=True, known=known)


class Mesh:
    """Every area as a typed stub. Use it as an async context manager, or `close` it."""

    def __init__(
        self,
        *,
        node: str,
        tls: Tls,
        resolver: Resolver,
        via: str = "",
        hook: Hook | None = None,
        dial: Dial | None = None,
        rng: Rng = system_rng,
        renews: bool = False,
        known: KeptGateways | None = None,
    ) -> None:
        """With `via` every area is called at the instances of that area, under its server name: a gateway.

        `dial` gives the channels, without it gRPC's with `tls`; `rng` what is left to chance: request ids and pauses.
        With `renews` a call renews the certificate first where that is due, and learns which gateways there are where
        `known` keeps them.
        """
        self._node = node
        self._resolver = resolver
        self._via = via
        self._hook = hook
        self._rng = rng
        self._dial = dial or GrpcDial(tls)
        self._tls = tls
        self._connections = Connections(self._dial)
        self._budgets = Budgets()
        self._areas: dict[str, AreaChannel] = {}
        self._renews = renews
        self._known = known
        besides = self._learn_gateways if known is not None else None
        self._renewal = QuietRenewal(Renewal(tls, SystemClock(), self._ask_registry), besides) if renews else None

    @cached_property
    def registry(self) -> RegistryServiceStub:
        """Who offers what, alive, proven."""
        from suanmesh.registry.v1.registry_service_pb2_grpc import RegistryServiceStub

        return RegistryServiceStub(self.channel("registry").as_grpc())

    @cached_property
    def scheduler(self) -> SchedulerServiceStub:
        """Which pool takes which job, and why."""
        from suanmesh.scheduler.v1.scheduler_service_pb2_grpc import SchedulerServiceStub

        return SchedulerServiceStub(self.channel("scheduler").as_grpc())

    @cached_property
    def network_orchestrator(self) -> NetworkOrchestratorServiceStub:
        """Which path, with which guarantee."""
        from suanmesh.network_orchestrator.v1.network_orchestrator_service_pb2_grpc import (
            NetworkOrchestratorServiceStub,
        )

        return NetworkOrchestratorServiceStub(self.channel("network_orchestrator").as_grpc())

    @cached_property
    def transport(self) -> TransportServiceStub:
        """Moving data, verified."""
        from suanmesh.transport.v1.transport_service_pb2_grpc import TransportServiceStub

        return TransportServiceStub(self.channel("transport").as_grpc())

    @cached_property
    def accounting(self) -> AccountingServiceStub:
        """Usage to settlement."""
        from suanmesh.accounting.v1.accounting_service_pb2_grpc import AccountingServiceStub

        return AccountingServiceStub(self.channel("accounting").as_grpc())

    @cached_property
    def gateway(self) -> GatewayServiceStub:
        """The trace store's read side."""
        from suanmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub

        return GatewayServiceStub(self.channel("gateway").as_grpc())

    @cached_property
    def relay(self) -> RelayServiceStub:
        """Calls to sites that only dial out, carried by a gateway."""
        from suanmesh.gateway.v1.relay_service_pb2_grpc import RelayServiceStub

        return RelayServiceStub(self.channel("gateway").as_grpc())

    @cached_property
    def prover(self) -> Prover:
        """Proves that relayed calls are this caller's."""
        from suanmesh_sdk.relayed import Prover

        return Prover(self._tls)

    def agent(self, address: str, *, site: str) -> AgentServiceStub:
        """The data plane of `site` (`sites/{site}`) at `address`; its certificate must be that site's agent's.

        Where the address is `RELAY` calls that change nothing are carried by a gateway.
        """
        from suanmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub

        if address == RELAY:
            from suanmesh_sdk.relayed import RelayedArea

            return AgentServiceStub(RelayedArea(self, site).as_grpc())
        return AgentServiceStub(self.agent_channel(address, site=site).as_grpc())

    def agent_channel(self, address: str, *, site: str) -> AreaChannel:
        """The channel to that data plane, as `channel` is to an area."""
        key = f"agent {site} {address}"
        if key not in self._areas:
            server_name = f"agent.{site.removeprefix('sites/')}.{self._node}.suanmesh"
            self._areas[key] = AreaChannel(self._route("agent", server_name, OneAddress(address), False))
        return self._areas[key]

    @cached_property
    def sites(self) -> AgentServiceStub:
        """The data planes of all sites, over the gateway: each message says which one is meant."""
        from suanmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub

        return AgentServiceStub(self.channel("agent").as_grpc())

    @cached_property
    def data(self) -> Data:
        """Folders to datasets, and back."""
        from suanmesh_sdk.data import Data

        return Data(self)

    def channel(self, area: str) -> AreaChannel:
        """The channel to `area`: for stubs of one's own, and for raw bytes (without a serializer bytes stay bytes)."""
        if area not in self._areas:
            at = self._via or area
            self._areas[area] = AreaChannel(
                self._route(at, f"{at}.{self._node}.suanmesh", self._resolver, not self._via)
            )
        return self._areas[area]

    def instances(self, area: str) -> Sequence[Instance]:
        """Those of an area that are known now; of a mesh behind a gateway the one that is used."""
        return self._resolver.instances(area)

    def apart(self) -> Mesh:
        """The same with connections of its own, for what is tried once; close it."""
        return Mesh(
            node=self._node,
            tls=self._tls,
            resolver=self._resolver,
            via=self._via,
            hook=self._hook,
            dial=self._dial,
            rng=self._rng,
            renews=self._renews,
            known=self._known,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._node}>"

    async def close(self) -> None:
        """Close every connection."""
        self._areas.clear()
        await self._connections.close()

    async def __aenter__(self) -> Mesh:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _learn_gateways(self) -> None:
        if self._known is not None:
            await self._known.learn_if_stale(asking_gateways(self.gateway))

    def _route(self, area: str, server_name: str, resolver: Resolver, follows_leader: bool) -> Route:
        return Route(
            area,
            server_name,
            resolver,
            self._connections,
            self._budgets,
            follows_leader=follows_leader,
            hook=self._hook,
            rng=self._rng,
            renewal=self._renewal,
        )

    async def _ask_registry(self, csr_der: bytes) -> Renewed:
        return await asking(self.registry)(csr_der)


class AreaChannel:
    """What a generated stub is built over: makes callables of the four kinds."""

    def __init__(self, route: Route) -> None:
        self._route = route

    def as_grpc(self) -> Any:
        """Itself, as the type the generated stubs ask for."""
        return cast("Any", self)

    def unary_unary(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: bool
    ) -> UnaryUnary:
        """One request, one answer."""
        return UnaryUnary(self._route, method, request_serializer, response_deserializer)

    def unary_stream(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: bool
    ) -> UnaryStream:
        """One request, many answers."""
        return UnaryStream(self._route, method, request_serializer, response_deserializer)

    def stream_unary(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: bool
    ) -> StreamUnary:
        """Many requests, one answer."""
        return StreamUnary(self._route, method, request_serializer, response_deserializer)

    def stream_stream(
        self, method: str, request_serializer: Serializer = None, response_deserializer: Deserializer = None, **_: bool
    ) -> StreamStream:
        """Many requests, many answers."""
        return StreamStream(self._route, method, request_serializer, response_deserializer)
