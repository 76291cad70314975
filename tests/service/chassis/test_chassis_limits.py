"""What one caller can take of a process: little, whatever he sends, and nothing before it is known that he may."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from suanmesh_chassis import Listener, Served
from suanmesh_chassis.identity import agent_id, service_id, user_id
from suanmesh_chassis.limits import REFUSALS_BURST
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe, Probes
from suanmesh_chassis.serving import Serving
from suanmesh_chassis.testing import ANY_PORT, NODE, OPERATOR, USER, LoopbackNode
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.status import DETAILS_KEY, refusal_of_call

BOB = user_id(NODE, "acme", "bob")
STRANGER = user_id(NODE, "other", "eve")
AGENT = agent_id(NODE, "wuhu")
KIB = 1024
PATIENCE_S = 60
LOOKED_FOR_S_MAX = 60.0
"""All objects of the process are looked through each time, those of other tests too."""
KEPT_BY_GRPC = 4
"""Calls that gRPC's own frames hold on to until the next one comes, however many there were."""
SERVING = health_pb2.HealthCheckResponse.SERVING

Channel = Callable[[str], Any]
Limited = Callable[..., Awaitable[Channel]]


@pytest.fixture
async def limited(node: LoopbackNode, probes: Probes) -> AsyncIterator[Limited]:
    """Serves the probe under settings of its own; answers a maker of channels by caller, empty for no certificate."""
    channels: list[grpc.aio.Channel] = []

    async def served(listener: Listener = ANY_PORT, **settings: float) -> Channel:
        process = node.process("probe", **settings)
        address = await node.serve(process, [Served(PROBE_SERVICE, probes)], requests=probes, listener=listener)

        def channel(caller: str = USER) -> grpc.aio.Channel:
            issued = node.ca.issue(caller) if caller else None
            shown = (issued.key, issued.certificate) if issued else (None, None)
            options = (
                ("grpc.ssl_target_name_override", "probe.test.suanmesh"),
                ("grpc.max_send_message_length", -1),
                ("grpc.use_local_subchannel_pool", 1),
            )
            credentials = grpc.ssl_channel_credentials(node.ca.pem, *shown)
            channels.append(grpc.aio.secure_channel(address, credentials, options=options))
            return channels[-1]

        return channel

    yield served
    for each in channels:
        await each.close()


def unary(channel: Any, text: str = "", method: str = "Read", timeout: float = PATIENCE_S) -> Any:
    made = channel.unary_unary(f"/{SERVICE}/{method}", response_deserializer=Probe.FromString)
    return made(Probe(text=text).SerializeToString(), timeout=timeout)


def half_open(channel: Any, method: str = "Read", timeout: float = PATIENCE_S) -> Any:
    """A call whose message never comes."""
    return channel.stream_unary(f"/{SERVICE}/{method}")(timeout=timeout)


async def refused(call: Any) -> Refusal:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(PATIENCE_S):
            await call
    error = caught.value
    details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
    return refusal_of_call(error.code().name, error.details() or "", details)


async def under_way(probes: Probes, channel: Any, calls: int = 1) -> list[Any]:
    """So many calls that wait for `may_finish`."""
    begun = []
    for _ in range(calls):
        probes.begun.clear()
        begun.append(unary(channel, "finish"))
        async with asyncio.timeout(PATIENCE_S):
            await probes.begun.wait()
    return begun


@pytest.mark.parametrize(("method", "reason"), [("Manage", "ROLE_DENIED"), ("Dance", "METHOD_UNKNOWN")])
async def test_who_is_refused_a_lot_waits_for_it(limited: Limited, method: str, reason: str) -> None:
    """A refusal costs as much as an answer: one who calls again at once must not be all that a process does."""
    channel = (await limited())()

    async def told(calls: int, timeout_s: float) -> Counter[str]:
        asked = (_asked(unary(channel, method=method, timeout=timeout_s)) for _ in range(calls))
        return Counter(refusal.reason for refusal in await asyncio.gather(*asked) if refusal)

    assert await told(REFUSALS_BURST, PATIENCE_S) == {reason: REFUSALS_BURST}
    more = await told(200, 1)
    assert set(more) <= {reason, "DEADLINE_EXCEEDED"}
    assert more["DEADLINE_EXCEEDED"] > 20
    assert (await unary(channel)).text.startswith(USER)


@pytest.mark.parametrize(
    ("caller", "method", "reason"),
    [(USER, "Manage", "ROLE_DENIED"), (USER, "Dance", "METHOD_UNKNOWN"), ("", "Read", "IDENTITY_MISSING")],
)
async def test_who_may_not_call_is_refused_before_the_message(
    limited: Limited, caller: str, method: str, reason: str
) -> None:
    """Whoever is turned away anyway must not first fill memory with what he sends."""
    channel = await limited(Listener("127.0.0.1:0", client_certificate=bool(caller)))
    assert (await refused(half_open(channel(caller), method))).reason == reason


async def test_a_message_that_does_not_come_is_not_waited_for(limited: Limited) -> None:
    """Thousands of calls that send nothing would hold their place for as long as their senders like."""
    channel = await limited(message_s_max=0.2)
    refusal = await refused(half_open(channel()))
    assert (refusal.code, refusal.reason) == ("DEADLINE_EXCEEDED", "MESSAGE_LATE")


async def test_a_call_that_ends_before_its_message_is_refused(limited: Limited) -> None:
    """A caller that says nothing is told so, and the process does not take it for a defect."""
    call = half_open((await limited())())
    await call.done_writing()
    refusal = await refused(call)
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "MESSAGE_MALFORMED")


async def test_without_a_certificate_only_small_messages_are_taken(limited: Limited) -> None:
    """Nobody knows who they are: 40 messages of 60 MiB took a process to 2.8 GiB."""
    channel = await limited(Listener("127.0.0.1:0", client_certificate=False))
    a_little, far = "x" * 70 * KIB, "x" * 60 * KIB * KIB
    typed = await refused(unary(channel(""), a_little, "Open"))
    assert (typed.reason, typed.facts["limit_bytes"]) == ("MESSAGE_TOO_LARGE", str(64 * KIB))
    assert (await refused(unary(channel(""), far, "Open"))).reason == "MESSAGE_TOO_LARGE"
    assert (await unary(channel(""), "x" * 60 * KIB, "Open")).text == "open to anyone"


async def test_one_caller_does_not_lock_out_another(limited: Limited, probes: Probes) -> None:
    """One number for all means that whoever is first in takes it."""
    channel = await limited(calls_per_caller_max=2)
    ann, bob = channel(USER), channel(BOB)
    held = await under_way(probes, ann, 2)

    refusal = await refused(unary(ann))
    assert (refusal.code, refusal.reason, refusal.facts["limit"]) == ("RESOURCE_EXHAUSTED", "CALLS_OF_CALLER_MAX", "2")
    assert refusal.retry_delay_s > 0
    assert (await unary(bob)).text.startswith(BOB)
    probes.may_finish.set()
    await asyncio.gather(*held)
    assert (await unary(ann)).text.startswith(USER)


async def test_agents_operators_services_and_probes_get_in_whatever_users_do(limited: Limited, probes: Probes) -> None:
    """A site whose agent is locked out is lost; an operator who is locked out cannot help."""
    channel = await limited(calls_max=32, calls_per_caller_max=32)
    for caller in (USER, STRANGER, user_id(NODE, "third", "kim")):
        with suppress(grpc.aio.AioRpcError):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(unary(channel(caller), "finish") for _ in range(32)))
    users = [channel(caller) for caller in (USER, STRANGER)]
    begun = [unary(each, "finish") for each in users for _ in range(32)]
    full = user_id(NODE, "third", "kim")

    async with asyncio.timeout(PATIENCE_S):
        while (refusal := await _asked(unary(channel(full)))) is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "PROCESS_FULL")
    assert (await unary(channel(AGENT))).text.startswith(AGENT)
    assert (await unary(channel(OPERATOR))).text.startswith(OPERATOR)
    assert (await unary(channel(service_id(NODE, "transport")))).text
    health = health_pb2_grpc.HealthStub(channel(full))
    assert (await health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_S)).status == SERVING
    for call in begun:
        call.cancel()


async def _asked(call: Any) -> Refusal | None:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
        return refusal_of_call(error.code().name, error.details() or "", details)
    return None


async def test_streams_of_one_caller_are_bounded_and_given_back(limited: Limited, probes: Probes) -> None:
    """Streams live for days: what they take must have a bound, and come back with the last of them."""
    channel = await limited(streams_per_caller_max=3)
    ann = channel()
    watch = ann.unary_stream(f"/{SERVICE}/List", response_deserializer=Probe.FromString)
    silent = Probe(text="silent").SerializeToString()
    for _ in range(3):  # more rounds than there is room for, were any of it kept
        calls = [watch(silent, timeout=PATIENCE_S) for _ in range(3)]
        for call in calls:
            assert (await call.read()).text == "0"
        refusal = await refused(watch(silent, timeout=PATIENCE_S).read())
        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "STREAMS_OF_CALLER_MAX")
        assert (await unary(ann)).text  # calls are counted apart
        probes.closed.clear()
        for call in calls:
            call.cancel()
        async with asyncio.timeout(PATIENCE_S):
            while await _asked_stream(watch(silent, timeout=PATIENCE_S)) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0)


async def _asked_stream(call: Any) -> Refusal | None:
    refusal = await _asked(call.read())
    call.cancel()
    return refusal


async def test_cancelled_streams_leave_nothing_behind(limited: Limited) -> None:
    """A task or a buffer left by every watch that was broken off is the end of a process that runs for months."""
    channel = (await limited(streams_per_caller_max=64, sending_streams_per_caller_max=64))()
    watch = channel.unary_stream(f"/{SERVICE}/List")
    talk = channel.stream_stream(f"/{SERVICE}/Talk", Probe.SerializeToString)

    def left() -> int:
        gc.collect()
        serving = sum(isinstance(each, Serving) for each in gc.get_objects())
        return serving + sum(task.get_name().startswith("HandleExceptions") for task in asyncio.all_tasks())

    before = left()
    for _ in range(3):
        calls = [watch(Probe(text="silent").SerializeToString(), timeout=PATIENCE_S) for _ in range(20)]
        talks = [talk(timeout=PATIENCE_S) for _ in range(20)]
        for call in talks:
            await call.write(Probe(text="a" * KIB))
        for call in (*calls, *talks):
            await call.read()
        for call in (*calls, *talks):
            call.cancel()
        assert left() > before + KEPT_BY_GRPC
        async with asyncio.timeout(LOOKED_FOR_S_MAX):
            while left() > before + KEPT_BY_GRPC:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_calls_that_are_over_need_no_garbage_collector(limited: Limited) -> None:
    """What holds itself stays until the collector comes: a busy process pays for it in memory, and in runs of it."""
    channel = await limited()
    caller = channel(USER)

    def left() -> int:
        return sum(type(each).__name__ == "_ServicerContext" for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = left()
        for _ in range(50):
            await unary(caller, "a")
        assert left() <= before + KEPT_BY_GRPC
    finally:
        gc.enable()


async def test_slow_senders_hold_up_nobody_else(limited: Limited) -> None:
    """Room is set aside for a message before it is read: who never sends his must not keep it from the others."""
    channel = await limited(message_bytes_max=64 * KIB, bytes_max=1, bytes_per_caller_max=1, message_s_max=90)
    slow = [half_open(channel(USER)) for _ in range(20)]
    for caller in (BOB, AGENT, OPERATOR, service_id(NODE, "transport")):
        assert (await unary(channel(caller), timeout=60)).text.startswith(caller)
    for call in slow:
        call.cancel()
    assert (await unary(channel(USER), timeout=60)).text.startswith(USER)


async def test_health_cannot_be_locked(limited: Limited) -> None:
    """An orchestrator that gets no word on the health of a process ends it: the attack would need no other means."""
    channel = await limited(calls_per_caller_max=1, calls_max=8)
    eve = health_pb2_grpc.HealthStub(channel(USER))
    reflections = reflection_pb2_grpc.ServerReflectionStub(channel(USER))
    half = [channel(USER).stream_unary("/grpc.health.v1.Health/Check")() for _ in range(50)]
    watches = [eve.Watch(health_pb2.HealthCheckRequest(service="x" * KIB)) for _ in range(50)]
    talks = [reflections.ServerReflectionInfo() for _ in range(50)]
    for caller in (BOB, OPERATOR, service_id(NODE, "transport")):
        stub = health_pb2_grpc.HealthStub(channel(caller))
        assert (await stub.Check(health_pb2.HealthCheckRequest(), timeout=60)).status == SERVING
    for call in (*half, *watches, *talks):
        call.cancel()


async def test_health_and_reflection_answer_as_their_standards_say(limited: Limited) -> None:
    """Tools that know nothing of us look there."""
    channel = (await limited())()
    stub = health_pb2_grpc.HealthStub(channel)
    assert (await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))).status == SERVING
    assert (await refused(stub.Check(health_pb2.HealthCheckRequest(service="nobody")))).code == "NOT_FOUND"
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = [a async for a in reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([asked]))]
    assert {SERVICE, "grpc.health.v1.Health"} <= {each.name for each in answer.list_services_response.service}


async def test_a_handshake_that_does_not_end_is_broken_off(limited: Limited, node: LoopbackNode) -> None:
    """Connections that never say who they are would fill the table of connections."""
    address = await node.serve(node.process("probe", handshake_s_max=0.3), [Served(PROBE_SERVICE, Probes())])
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(PATIENCE_S):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
