"""Who is let in: certificates, roles, assertions of the gateway, the listener without client certificate."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from suanmesh.agent.v1 import agent_service_pb2
from suanmesh_chassis import Call, Caller, Listener, Served
from suanmesh_chassis.assertion import CLOCK_ALLOWANCE_S, LIFETIME_S, Assertions, Minter
from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.identity import agent_id, caller_of, service_id, user_id
from suanmesh_chassis.keyring import FixedKeys
from suanmesh_chassis.signing import Signer, new_signing_key
from suanmesh_chassis.testing import NODE, OPERATOR, USER, LoopbackNode
from suanmesh_kernel.clock import HandClock, SystemClock
from suanmesh_kernel.refusals import Refusal, Unauthenticated

GATEWAY = service_id(NODE, "gateway")


async def refused(call: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await call
    return caught.value


async def test_a_caller_without_the_role_is_denied(connect: Any) -> None:
    """A user who may manage the node by mistake could end it."""
    refusal = await refused(connect(USER).unary("Manage"))

    assert (refusal.code, refusal.reason) == ("PERMISSION_DENIED", "ROLE_DENIED")
    assert refusal.facts == {"roles": "operator", "held": "user"}


async def test_an_operator_may_manage_and_use(connect: Any) -> None:
    """The operating party's users are users as well."""
    operator = connect(OPERATOR)

    assert (await operator.unary("Manage")).text == "managed"
    assert (await operator.unary("Read")).text


async def test_a_certificate_of_another_node_names_nobody_here(connect: Any) -> None:
    """Two nodes under one authority must not share their users."""
    refusal = await refused(connect(user_id("elsewhere", "acme", "ann")).unary("Read"))

    assert (refusal.code, refusal.reason) == ("UNAUTHENTICATED", "IDENTITY_MISSING")


@pytest.mark.parametrize("case", ["expired", "foreign"])
async def test_a_certificate_that_does_not_hold_never_gets_through(connect: Any, case: str) -> None:
    """A stolen old certificate, or one somebody made himself, must not reach any handler."""
    client = connect(USER, days=-1) if case == "expired" else connect(USER, ca=NodeCa.create(NODE, SystemClock()))

    refusal = await refused(client.unary("Open"))

    assert refusal.code == "UNAVAILABLE"


async def test_without_a_certificate_only_open_methods_are_served(
    node: LoopbackNode, probes: Any, probe_client: Any
) -> None:
    """The enrolment listener faces strangers."""
    stranger = await probe_client(Listener("127.0.0.1:0", client_certificate=False))

    assert (await stranger.unary("Open")).text == "open to anyone"
    refusal = await refused(stranger.unary("Read"))
    assert (refusal.code, refusal.reason) == ("UNAUTHENTICATED", "IDENTITY_MISSING")


@pytest.fixture
async def gateway(node: LoopbackNode, probes: Any, probe_service: Any, connect: Any) -> Any:
    """A client that is the gateway, the key it signs with, and the probe that knows that key."""
    signer = Signer(new_signing_key(), GATEWAY)
    keys = FixedKeys({signer.key_id: signer.public_key})
    at = await node.serve(node.process("probe"), [Served(probe_service, probes)], keys=keys)
    return connect(GATEWAY, at=at), signer, at


async def test_a_gateway_passes_its_caller_on(gateway: Any) -> None:
    """Behind the gateway every call would else be the gateway's own."""
    client, signer, _ = gateway
    metadata = (Minter(signer, SystemClock()).metadata(caller_of(USER, NODE), "probe"),)

    assert (await client.unary("Read", "hello", metadata=metadata)).text == f"{USER} hello"
    assert (await refused(client.unary("Manage", metadata=metadata))).reason == "ROLE_DENIED"


@pytest.mark.parametrize("case", ["forged", "for another service", "more roles", "unreadable"])
async def test_an_assertion_that_does_not_hold_is_refused(gateway: Any, case: str) -> None:
    """Whoever can make up an assertion can be anybody."""
    client, signer, _ = gateway
    clock, caller, audience = SystemClock(), caller_of(USER, NODE), "probe"
    if case == "forged":
        signer = Signer(new_signing_key(), GATEWAY)
    elif case == "for another service":
        audience = "scheduler"
    elif case == "more roles":
        caller = Caller(USER, party="parties/acme", roles=frozenset(("user", "operator")))
    key, assertion = Minter(signer, clock).metadata(caller, audience)
    if case == "unreadable":
        assertion = b"\xff"

    refusal = await refused(client.unary("Read", metadata=((key, assertion),)))

    assert (refusal.code, refusal.reason) == ("UNAUTHENTICATED", "ASSERTION_INVALID")


@pytest.mark.parametrize("ahead_s", [-3600, -LIFETIME_S - 30, LIFETIME_S + 30, 3600])
async def test_clocks_that_differ_too_much_are_named(
    node: LoopbackNode, probes: Any, probe_service: Any, connect: Any, ahead_s: float
) -> None:
    """A machine without time service would refuse everybody, and nobody would think of its clock."""
    signer = Signer(new_signing_key(), GATEWAY)
    process = replace(node.process("probe"), clock=ShiftedClock(ahead_s))
    keys = FixedKeys({signer.key_id: signer.public_key})
    at = await node.serve(process, [Served(probe_service, probes)], keys=keys)
    metadata = (Minter(signer, SystemClock()).metadata(caller_of(USER, NODE), "probe"),)

    refusal = await refused(connect(GATEWAY, at=at).unary("Read", metadata=metadata))

    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "CLOCK_SKEWED")
    assert abs(int(refusal.facts["skew_s"]) - ahead_s) <= 20
    assert REGISTRY.get_sample_value("suan_clock_skew_seconds") == pytest.approx(ahead_s, abs=20)


@pytest.mark.parametrize("ahead_s", [1 - CLOCK_ALLOWANCE_S, 0, CLOCK_ALLOWANCE_S - 1])
async def test_clocks_may_differ_a_little(
    node: LoopbackNode, probes: Any, probe_service: Any, connect: Any, ahead_s: float
) -> None:
    """No two machines have the same time."""
    signer, minted = Signer(new_signing_key(), GATEWAY), HandClock(SystemClock().now())
    process = replace(node.process("probe"), clock=ShiftedClock(ahead_s))
    keys = FixedKeys({signer.key_id: signer.public_key})
    at = await node.serve(process, [Served(probe_service, probes)], keys=keys)
    metadata = (Minter(signer, minted).metadata(caller_of(USER, NODE), "probe"),)

    assert (await connect(GATEWAY, at=at).unary("Read", "hello", metadata=metadata)).text == f"{USER} hello"


def test_an_assertion_that_was_good_once_is_worth_nothing_later() -> None:
    """Whoever has seen a call go by must not be able to repeat it the next day."""
    clock, signer = HandClock(), Signer(new_signing_key(), GATEWAY)
    assertions = Assertions(NODE, "probe", FixedKeys({signer.key_id: signer.public_key}), clock)
    gateway, (_, assertion) = caller_of(GATEWAY, NODE), Minter(signer, clock).metadata(caller_of(USER, NODE), "probe")
    assert assertions.caller(gateway, assertion).principal == USER

    clock.advance(LIFETIME_S + 1)

    with pytest.raises(Unauthenticated, match="ASSERTION_INVALID"):
        assertions.caller(gateway, assertion)


class ShiftedClock:
    """A clock of a machine whose time is set wrong."""

    def __init__(self, ahead_s: float) -> None:
        self._ahead = timedelta(seconds=ahead_s)
        self._right = SystemClock()

    def now(self) -> datetime:
        return self._right.now() + self._ahead

    def monotonic(self) -> float:
        return self._right.monotonic()


async def test_an_assertion_from_anybody_but_a_gateway_is_refused(gateway: Any, connect: Any) -> None:
    """A service that was taken over must not speak for users."""
    _, signer, at = gateway
    metadata = (Minter(signer, SystemClock()).metadata(caller_of(OPERATOR, NODE), "probe"),)

    refusal = await refused(connect(service_id(NODE, "transport"), at=at).unary("Manage", metadata=metadata))

    assert refusal.reason == "ASSERTION_INVALID"


class Echo:
    """The part of a site's data plane that answers at once."""

    async def Echo(self, request: agent_service_pb2.EchoRequest, call: Call) -> agent_service_pb2.EchoResponse:
        return agent_service_pb2.EchoResponse(payload=request.payload + call.site.encode())

    async def once(self, request: Any, call: Call) -> Any:
        raise AssertionError

    async def many(self, request: Any, call: Call) -> Any:
        raise AssertionError
        yield


for each in agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"].methods:
    if each.name != "Echo":  # nobody calls the others
        setattr(Echo, each.name, Echo.many if each.server_streaming else Echo.once)


async def test_a_name_with_an_underscore_is_verified_like_any_other(tmp_path: Path) -> None:
    """`network_orchestrator` is the one area whose server name is no proper host name."""
    descriptor = agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"]
    async with LoopbackNode(tmp_path) as node:
        at = await node.serve(node.process("network_orchestrator"), [Served(descriptor, Echo())])
        mesh = node.mesh(at, caller=agent_id(NODE, "east"))
        call = mesh.channel("network_orchestrator").unary_unary(
            "/suanmesh.agent.v1.AgentService/Echo",
            agent_service_pb2.EchoRequest.SerializeToString,
            agent_service_pb2.EchoResponse.FromString,
        )

        answer = await call(agent_service_pb2.EchoRequest(payload=b"hi "))

    assert answer.payload == b"hi sites/east"
