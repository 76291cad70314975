"""The gateway between callers and a registry, all on the loopback with real certificates."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from suanmesh.accounting.v1 import accounting_service_pb2
from suanmesh.gateway.v1 import gateway_service_pb2
from suanmesh.registry.v1 import party_pb2, registry_service_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.scheduler.v1 import scheduler_service_pb2
from suanmesh_chassis import Call, Forwarded, Served
from suanmesh_chassis.assertion import METADATA_KEY, Minter
from suanmesh_chassis.ca import agent_server_name
from suanmesh_chassis.identity import agent_id, caller_of, service_id, user_id
from suanmesh_chassis.keyring import FixedKeys
from suanmesh_chassis.testing import NODE, OPERATOR, USER, LoopbackNode
from suanmesh_gateway.contracts import OTLP, OTLP_SEMANTICS, OWN, RELAYED
from suanmesh_gateway.data_planes import DataPlanes
from suanmesh_gateway.forwarder import Forwarder
from suanmesh_gateway.relay import Relay
from suanmesh_gateway.relay_service import RelayService
from suanmesh_gateway.service import GatewayService, TraceReceiver
from suanmesh_gateway.trace_store import TraceStore
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.refusals import (
    AlreadyExists,
    NotFound,
    PermissionDenied,
    Refusal,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from suanmesh_registry.assembly import assemble
from suanmesh_registry.settings import RegistrySettings
from suanmesh_sdk import Instance, InstanceState, Mesh, Tls, connect
from suanmesh_sdk.invites import bearer_tls, key_pem, new_key, signing_request
from suanmesh_store import MemoryStore
from suanmesh_store.layout import PARTIES

ACCOUNTING = accounting_service_pb2.DESCRIPTOR.services_by_name["AccountingService"]
REGISTRY = registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"]
SCHEDULER = scheduler_service_pb2.DESCRIPTOR.services_by_name["SchedulerService"]
PARTY = party_pb2.Party(kind=party_pb2.Party.KIND_CONSUMER, currency="CNY")


class Table:
    """A resolver that knows what it is told."""

    def __init__(self) -> None:
        self.known: dict[str, list[Instance]] = {}

    def instances(self, area: str) -> list[Instance]:
        return self.known.get(area, [])

    def others(self, area: str) -> list[Instance]:
        return self.instances(area)

    async def changed(self, area: str) -> None:
        await asyncio.Event().wait()

    def unanswered(self, address: str) -> None:
        """What it knows stands."""


@dataclass(frozen=True, slots=True)
class Town:
    """A node with a registry and a gateway in front of it."""

    node: LoopbackNode
    store: MemoryStore
    table: Table
    address: str
    registry_address: str
    keys: FixedKeys
    """The gateway's."""

    @asynccontextmanager
    async def mesh(self, caller: str) -> AsyncIterator[Mesh]:
        issued = self.node.ca.issue(caller)
        tls = Tls(ca=issued.ca, cert=issued.certificate, key=issued.key)
        async with connect(self.address, tls=tls, node=NODE) as mesh:
            yield mesh

    @asynccontextmanager
    async def bearing(self, token: pb.JoinToken) -> AsyncIterator[Mesh]:
        tls = bearer_tls(self.node.ca.pem, token.certificate_der, token.key)
        async with connect(self.address, tls=tls, node=NODE) as mesh:
            yield mesh


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with LoopbackNode(tmp_path) as node, asyncio.TaskGroup() as tasks:
        gateway, table, store = node.process("gateway"), Table(), MemoryStore("registry")
        clock = SystemClock()
        assembled = await assemble(NODE, store, clock, system_rng, node.ca, RegistrySettings())
        running = [tasks.create_task(assembled.mirrors.run())]
        registry = Served(REGISTRY, assembled.service)
        keys = FixedKeys({gateway.signer.key_id: gateway.signer.public_key})
        registry_address = await node.serve(
            node.process("registry"),
            [registry],
            requests=store,
            keys=keys,
        )
        table.known["registry"] = [Instance(registry_address, leader=True)]
        mesh = node.mesh("", caller=service_id(NODE, "gateway"), resolver=table)
        forwarder = Forwarder(mesh, Minter(gateway.signer, clock), [REGISTRY, SCHEDULER, ACCOUNTING])
        traces = TraceStore(tmp_path / "traces.sqlite", trace_spans_max=100)
        parts: list[Served | Forwarded] = [
            Served(OWN, GatewayService(traces, mesh, DataPlanes(mesh, clock), "")),
            Served(OTLP, TraceReceiver(traces), OTLP_SEMANTICS),
            Served(RELAYED, RelayService(Relay()), relays=True),
            Forwarded(REGISTRY, forwarder),
            Forwarded(SCHEDULER, forwarder),
            Forwarded(ACCOUNTING, forwarder),
        ]
        address = await node.serve(gateway, parts)
        yield Town(node, store, table, address, registry_address, keys)
        for task in running:
            task.cancel()
        await traces.close()


async def test_a_gateway_says_which_gateways_serve(town: Town) -> None:
    """A caller must know where to go on before the one that it was told of goes; one that drains is no such place."""
    serving, draining = Instance("b:7443"), Instance("a:7443", state=InstanceState.DRAINING)
    town.table.known["gateway"] = [serving, draining, Instance("a:7444")]
    async with town.mesh(USER) as mesh:
        answer = await mesh.gateway.ListGateways(gateway_service_pb2.ListGatewaysRequest())
    assert list(answer.addresses) == ["a:7444", "b:7443"]


async def test_the_owner_acts_for_the_user_not_for_the_gateway(town: Town) -> None:
    """Whoever did something must stand in the record, or nobody can be asked."""
    async with town.mesh(OPERATOR) as mesh:
        await mesh.registry.CreateParty(pb.CreatePartyRequest(party_id="p", party=PARTY))

    held = await town.store.get(PARTIES, "parties/p")
    assert held is not None
    assert held.principal == OPERATOR


async def test_a_repeat_through_the_gateway_is_answered_as_before(town: Town) -> None:
    """A user whose connection broke repeats the call; the party must not be there twice, nor be refused."""
    request = pb.CreatePartyRequest(party_id="p", party=PARTY, request_id="once")
    async with town.mesh(OPERATOR) as mesh:
        first = await mesh.registry.CreateParty(request)
        assert await mesh.registry.CreateParty(request) == first


async def test_refusals_of_the_owner_arrive_unchanged(town: Town) -> None:
    """Reason, facts and texts are the contract; a hop in between must not thin them out."""
    async with town.mesh(OPERATOR) as mesh:
        await mesh.registry.CreateParty(pb.CreatePartyRequest(party_id="p", party=PARTY))
        with pytest.raises(AlreadyExists) as caught:
            await mesh.registry.CreateParty(pb.CreatePartyRequest(party_id="p", party=PARTY))

    refusal = caught.value
    assert (refusal.reason, refusal.domain, refusal.facts) == (
        "PARTY_EXISTS",
        "registry.suanmesh",
        {"name": "parties/p"},
    )
    assert "主体" in refusal.localized["zh"]


async def test_roles_are_those_of_the_caller(town: Town) -> None:
    """Behind the gateway nobody has more rights than in front of it."""
    async with town.mesh(USER) as mesh:
        with pytest.raises(PermissionDenied, match="ROLE_DENIED"):
            await mesh.registry.CreateParty(pb.CreatePartyRequest(party_id="p", party=PARTY))


async def test_an_assertion_is_worth_nothing_in_other_hands(town: Town) -> None:
    """A stolen or self-made assertion must not make an operator of a user."""
    claim = Minter(town.node.process("gateway").signer, SystemClock()).metadata(caller_of(OPERATOR, NODE), "registry")
    assert claim[0] == METADATA_KEY
    request = pb.CreatePartyRequest(party_id="p", party=PARTY)

    direct = town.node.mesh(town.registry_address, caller=USER)
    with pytest.raises(Unauthenticated, match="ASSERTION_INVALID"):
        await direct.registry.CreateParty(request, metadata=(claim,))


async def test_streams_pass_in_both_directions_and_end_with_the_caller(town: Town) -> None:
    """Agents live on streams through the gateway; one that breaks off must not keep a stream open behind it."""
    agent = await enrolled(town)
    async with town.mesh(agent) as mesh:
        call = mesh.registry.ReportState()
        for sequence in (1, 2):
            await call.write(pb.ReportStateRequest(sequence=sequence))
            assert (await anext(aiter(call))).sequence == sequence
        await call.done_writing()
        assert [answer async for answer in call] == []
    async with town.mesh(USER) as mesh:
        watch = mesh.registry.WatchPools(pb.WatchPoolsRequest())
        reset = await anext(aiter(watch))
        watch.cancel()
    assert [site.name for site in reset.sites] == ["sites/a"]


async def test_who_bears_an_invite_may_enrol_and_nothing_else(town: Town) -> None:
    """An invite is sent to somebody whom nobody has seen join; until then they are no user of anybody's."""
    token = await join_token(town)
    async with town.bearing(token) as mesh:
        for asked in (
            mesh.registry.ListSites(pb.ListSitesRequest()),
            mesh.registry.CreateJoinToken(pb.CreateJoinTokenRequest(party="parties/p")),
            mesh.gateway.CheckDataPlane(gateway_service_pb2.CheckDataPlaneRequest(endpoint=town.address)),
        ):
            with pytest.raises(PermissionDenied, match="ROLE_DENIED"):
                await asked
        with pytest.raises(Unauthenticated, match="JOIN_TOKEN_INVALID"):
            await mesh.registry.EnrolSite(pb.EnrolSiteRequest(token="sjt1.guess.guess.guess", site_id="a"))


async def test_a_user_joins_once_with_a_key_of_their_own(town: Town) -> None:
    """Whoever reads an invite later, in a chat or a log, must not become the user whom it was for."""
    token = await join_token(town, user="bob")
    key, thief = new_key(), new_key()
    request = pb.EnrolUserRequest(token=token.token, csr_der=signing_request(key))
    async with town.bearing(token) as mesh:
        with pytest.raises(Unauthenticated, match="JOIN_TOKEN_INVALID"):
            await mesh.registry.EnrolSite(
                pb.EnrolSiteRequest(token=token.token, site_id="a", signing_key=b"k" * 32, csr_der=request.csr_der)
            )
        first = await mesh.registry.EnrolUser(request)
        again = await mesh.registry.EnrolUser(request)
        with pytest.raises(Unauthenticated, match="JOIN_TOKEN_INVALID"):
            await mesh.registry.EnrolUser(pb.EnrolUserRequest(token=token.token, csr_der=signing_request(thief)))
    assert (first.party, first.user) == (again.party, again.user) == ("parties/p", "bob")
    tls = Tls(ca=first.ca_pem, cert=first.certificate_pem, key=key_pem(key))
    async with connect(town.address, tls=tls, node=NODE) as mesh:
        assert (await mesh.registry.GetParty(pb.GetPartyRequest(name="parties/p"))).name == "parties/p"


async def test_a_token_of_a_site_makes_no_user(town: Town) -> None:
    """The owner of a site was let run it, not act for the party."""
    token = await join_token(town)
    async with town.bearing(token) as mesh:
        with pytest.raises(Unauthenticated, match="JOIN_TOKEN_INVALID"):
            await mesh.registry.EnrolUser(pb.EnrolUserRequest(token=token.token, csr_der=signing_request(new_key())))


async def test_without_a_certificate_nobody_is_heard(town: Town) -> None:
    """Whoever was not even invited must not reach code of ours with a message."""
    async with connect(town.address, tls=Tls(ca=town.node.ca.pem), node=NODE) as mesh:
        with pytest.raises(Refusal) as caught:
            await mesh.registry.EnrolSite(pb.EnrolSiteRequest(token="sjt1.guess.guess.guess", site_id="a"))
    assert caught.value.reason in ("HANDSHAKE_FAILED", "NOT_READY")  # as the connection ends before or in the handshake


async def test_a_site_learns_whether_the_gateway_reaches_it(town: Town) -> None:
    """An owner whose firewall shuts it in must hear that when they join, and not by logs that never come."""
    site = await enrolled(town)
    agent = town.node.process("agent", identity=site, dns_names=[agent_server_name(NODE, "a")])
    another = town.node.process("agent", dns_names=[agent_server_name(NODE, "b")])
    own, others = await town.node.serve(agent, []), await town.node.serve(another, [])
    async with town.mesh(site) as mesh:

        async def reached(endpoint: str) -> bool:
            request = gateway_service_pb2.CheckDataPlaneRequest(endpoint=endpoint)
            return bool((await mesh.gateway.CheckDataPlane(request, timeout=60)).reached)

        assert await reached(own)
        assert not await reached(others)  # which says nothing of who else listens there
        assert not await reached("127.0.0.1:1")


async def test_a_service_that_is_away_is_named(town: Town) -> None:
    """A user must learn which part is missing, not that something failed."""
    async with town.mesh(USER) as mesh:
        with pytest.raises(Unavailable, match="no instance of scheduler is known"):
            await mesh.scheduler.ListJobs(scheduler_service_pb2.ListJobsRequest(), timeout=2.0)


async def test_a_call_has_the_time_that_its_caller_gave_it(town: Town) -> None:
    """Whoever waits longer than is usual, because much is asked for, must not be sent away after the usual time."""
    left: list[float] = []

    async def answer(_: object, request: Any, call: Call) -> scheduler_service_pb2.ListJobsResponse:
        left.append(call.time_left())
        return scheduler_service_pb2.ListJobsResponse()

    async def stream(_: object, request: Any, call: Call) -> AsyncIterator[Any]:
        for nothing in ():
            yield nothing

    made = {each.name: stream if each.server_streaming else answer for each in SCHEDULER.methods}
    served = Served(SCHEDULER, type("Clockwork", (), made)())
    address = await town.node.serve(town.node.process("scheduler"), [served], keys=town.keys)
    town.table.known["scheduler"] = [Instance(address, leader=True)]
    async with town.mesh(USER) as mesh:
        await mesh.scheduler.ListJobs(scheduler_service_pb2.ListJobsRequest(), timeout=600)
    assert 60 < left[0] < 600


async def test_what_is_not_public_is_unknown(town: Town) -> None:
    """The inner contract between services must not be reachable from outside."""
    town.table.known["accounting"] = [Instance(town.registry_address, leader=True)]
    async with town.mesh(OPERATOR) as mesh:
        with pytest.raises(Unimplemented, match="METHOD_UNKNOWN"):
            await mesh.accounting.PlaceHolds(accounting_service_pb2.PlaceHoldsRequest())


async def test_a_trace_that_is_not_kept_is_not_found(town: Town) -> None:
    """Asking for an old trace must say that it is gone, in words a user can act on."""
    name = f"traces/{hashlib.md5(b'x').hexdigest()}"
    async with town.mesh(USER) as mesh:
        with pytest.raises(NotFound, match="TRACE_UNKNOWN"):
            await mesh.gateway.GetTrace(gateway_service_pb2.GetTraceRequest(name=name))


async def test_spans_come_from_inside_and_are_read_by_who_began_the_trace(town: Town) -> None:
    """A user must see their own job's trace; nobody outside may write into it, no other party may read it."""
    trace_id = bytes(range(16))
    began = an_export(trace_id, "root", 5, caller_of(USER, NODE).party)
    forged = an_export(trace_id, "forged", 1, "parties/rival")
    export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    name = gateway_service_pb2.GetTraceRequest(name=f"traces/{trace_id.hex()}")

    async with town.mesh(USER) as mesh:
        with pytest.raises(PermissionDenied, match="ROLE_DENIED"):
            await mesh.channel("gateway").unary_unary(export)(began)
    for teller, told in ((service_id(NODE, "scheduler"), began), (agent_id(NODE, "a"), forged)):
        async with town.mesh(teller) as mesh:
            await mesh.channel("gateway").unary_unary(export)(told)
    for reader in (USER, OPERATOR):
        async with town.mesh(reader) as mesh:
            spans = (await mesh.gateway.GetTrace(name)).spans
            assert [(each.name, each.service) for each in spans] == [("forged", "agent"), ("root", "scheduler")]
    async with town.mesh(user_id(NODE, "rival", "r")) as mesh:
        with pytest.raises(NotFound, match="TRACE_UNKNOWN"):
            await mesh.gateway.GetTrace(name)
    async with town.mesh(OPERATOR) as mesh:
        listed = await mesh.gateway.ListTraces(gateway_service_pb2.ListTracesRequest())
        assert [each.name for each in listed.traces] == [name.name]


def an_export(trace_id: bytes, name: str, start_ns: int, party: str) -> bytes:
    """One span without a parent, as a process of the scheduler would send it."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "scheduler"
    span = resource.scope_spans.add().spans.add(
        trace_id=trace_id, span_id=name.ljust(8).encode()[:8], name=name, start_time_unix_nano=start_ns
    )
    span.attributes.add(key="suanmesh.party").value.string_value = party
    return request.SerializeToString()


async def join_token(town: Town, user: str = "") -> pb.JoinToken:
    """A token for a site or a user of `parties/p`."""
    async with town.mesh(OPERATOR) as mesh:
        await mesh.registry.CreateParty(pb.CreatePartyRequest(party_id="p", party=PARTY))
        return await mesh.registry.CreateJoinToken(pb.CreateJoinTokenRequest(party="parties/p", user=user))


async def enrolled(town: Town) -> str:
    """Enrol `sites/a` the way an agent does, and return its identity."""
    token = await join_token(town)
    csr_der = signing_request(new_key())
    request = pb.EnrolSiteRequest(token=token.token, site_id="a", signing_key=b"k" * 32, csr_der=csr_der)
    async with town.bearing(token) as mesh:
        return (await mesh.registry.EnrolSite(request)).site.agent
