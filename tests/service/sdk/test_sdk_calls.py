"""What a caller of the mesh can rely on, over real connections."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest
from grpc import aio

from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.registry_service_pb2 import (
    CreatePartyRequest,
    GetSiteRequest,
    ReportStateRequest,
    ReportStateResponse,
)
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import WatchJobRequest
from suanmesh_kernel.refusals import (
    DeadlineExceeded,
    NotFound,
    Refusal,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from suanmesh_sdk import Instance, InstanceState, Mesh, connect, deadlines, within

SITE = GetSiteRequest(name="sites/a")


async def found(request: bytes, context: Any) -> bytes:
    return Site(name=GetSiteRequest.FromString(request).name).SerializeToString()


def first_refused(times: int, refusal: Refusal, then: Any) -> Any:
    left = [times]

    async def answer(request: bytes, context: Any) -> bytes:
        if left[0] > 0:
            left[0] -= 1
            raise refusal
        return bytes(await then(request, context))

    return answer


async def test_a_typed_answer_comes_back(serve: Any, tls: Any) -> None:
    """Everybody: without this nothing works."""
    oracle = await serve()
    oracle.answer = found
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        site = await mesh.registry.GetSite(SITE)
    assert site == Site(name="sites/a")


async def test_a_refusal_comes_back_as_it_was_raised(serve: Any, tls: Any) -> None:
    """A caller decides by reason and facts; a text it would have to parse breaks with the next wording."""
    oracle = await serve()
    oracle.answer = first_refused(9, NotFound("SITE_UNKNOWN", "sites/a is not enrolled", name="sites/a"), found)
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        with pytest.raises(NotFound) as caught:
            await mesh.registry.GetSite(SITE)
    assert (caught.value.reason, caught.value.facts) == ("SITE_UNKNOWN", {"name": "sites/a"})
    assert caught.value.domain == "registry.suanmesh"
    assert set(caught.value.localized) == {"en", "zh"}
    assert len(oracle.asked) == 1


async def test_a_read_survives_a_service_that_is_away_for_a_moment(serve: Any, tls: Any) -> None:
    """A restart of one service must not fail what others have in hand."""
    oracle = await serve()
    oracle.answer = first_refused(3, Unavailable("NOT_READY", "draining"), found)
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        assert (await mesh.registry.GetSite(SITE)).name == "sites/a"
    assert len(oracle.asked) == 4


async def test_who_is_told_to_wait_waits_and_gets_in(serve: Any, tls: Any) -> None:
    """A program with many calls under way must be slowed, not failed, and not by more calls."""
    oracle = await serve()
    full = ResourceExhausted("CALLS_OF_CALLER_MAX", "128 calls are under way", retry_delay_s=0.1)
    oracle.answer = first_refused(3, full, found)
    begun = time.monotonic()
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        assert (await mesh.registry.GetSite(SITE)).name == "sites/a"
    assert len(oracle.asked) == 4
    assert time.monotonic() - begun >= 0.3


async def test_a_service_passes_on_at_once_when_to_come_again(serve: Any, tls: Any) -> None:
    """Held back by every service on the way, the word would reach its caller when his time is up."""
    oracle = await serve()
    oracle.answer = first_refused(1, ResourceExhausted("RATE_EXCEEDED", "come again", retry_delay_s=0.05), found)
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        token = deadlines.served.set(deadlines.Served(by_us=True))
        with pytest.raises(ResourceExhausted) as told:
            await mesh.registry.GetSite(SITE)
        deadlines.served.reset(token)
        assert (told.value.retry_delay_s, len(oracle.asked)) == (0.05, 1)
        oracle.answer = first_refused(1, told.value, found)
        assert (await mesh.registry.GetSite(SITE)).name == "sites/a"


async def test_a_keyed_call_repeats_itself_under_one_request_id(serve: Any, tls: Any) -> None:
    """A second effect of one call would be charged twice."""
    oracle = await serve()

    async def created(request: bytes, context: Any) -> bytes:
        return Party(name="parties/p").SerializeToString()

    oracle.answer = first_refused(2, Unavailable("OUTCOME_UNKNOWN", "etcd did not say"), created)
    request = CreatePartyRequest(party_id="p")
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        await mesh.registry.CreateParty(request)
        await mesh.registry.CreateParty(request)
    ids = [CreatePartyRequest.FromString(body).request_id for _, body in oracle.asked]
    assert len(ids) == 4
    assert ids[0] == ids[1] == ids[2] != ids[3]
    assert not request.request_id


async def test_a_write_goes_where_the_follower_points(serve: Any, tls: Any, book: Any) -> None:
    """A caller whose picture of the leader is old must not wait for its resolver."""
    follower, leader = await serve(), await serve()
    refusal = Unavailable("NOT_LEADER", "ask the leader", leader=leader.address)
    follower.answer = first_refused(9, refusal, found)

    async def created(request: bytes, context: Any) -> bytes:
        return Party(name="parties/p").SerializeToString()

    leader.answer = created
    resolver = book(Instance(follower.address, leader=True), Instance(leader.address))
    async with Mesh(node="demo", tls=tls, resolver=resolver) as mesh:
        await mesh.registry.CreateParty(CreatePartyRequest(party_id="p"))
        await mesh.registry.CreateParty(CreatePartyRequest(party_id="q"))
    assert (len(follower.asked), len(leader.asked)) == (1, 2)


async def test_an_old_pointer_to_the_leader_yields_to_news(serve: Any, tls: Any, book: Any) -> None:
    """A former leader that was paused must not hold callers who were once sent to it."""
    follower, paused = await serve(), await serve()
    follower.answer = first_refused(1, Unavailable("NOT_LEADER", "ask the leader", leader=paused.address), found)

    async def created(request: bytes, context: Any) -> bytes:
        return Party(name="parties/p").SerializeToString()

    paused.answer = created
    resolver = book(Instance(follower.address))
    async with Mesh(node="demo", tls=tls, resolver=resolver) as mesh:
        await mesh.registry.CreateParty(CreatePartyRequest(party_id="p"))
        follower.answer = created
        resolver.rewrite(Instance(follower.address, leader=True))
        await mesh.registry.CreateParty(CreatePartyRequest(party_id="q"))
    assert (len(follower.asked), len(paused.asked)) == (2, 1)


async def test_a_dead_instance_is_passed_over(serve: Any, tls: Any, book: Any) -> None:
    """kill -9 of one replica must cost a read nothing but a retry."""
    alive = await serve()
    alive.answer = found
    resolver = book(Instance("127.0.0.1:1"), Instance(alive.address))
    async with Mesh(node="demo", tls=tls, resolver=resolver) as mesh:
        for _ in range(4):
            assert (await mesh.registry.GetSite(SITE)).name == "sites/a"


async def test_nothing_new_is_sent_to_a_draining_instance(serve: Any, tls: Any, book: Any) -> None:
    """A rolling restart must lose no call."""
    draining, active = await serve(), await serve()
    draining.answer = active.answer = found
    resolver = book(Instance(draining.address, state=InstanceState.DRAINING), Instance(active.address))
    async with Mesh(node="demo", tls=tls, resolver=resolver) as mesh:
        for _ in range(3):
            await mesh.registry.GetSite(SITE)
    assert (len(draining.asked), len(active.asked)) == (0, 3)


async def test_a_call_waits_for_the_first_instance(serve: Any, tls: Any, book: Any) -> None:
    """Services start in any order: the first call of one is often before the start of the other."""
    oracle = await serve()
    oracle.answer = found
    resolver = book()
    async with Mesh(node="demo", tls=tls, resolver=resolver) as mesh, asyncio.TaskGroup() as tasks:
        call: asyncio.Task[Site] = tasks.create_task(mesh.registry.GetSite(SITE))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        resolver.rewrite(Instance(oracle.address))
        assert (await call).name == "sites/a"


async def test_a_foreign_certificate_is_named_and_not_retried(serve: Any, stranger: Any, authority: Any) -> None:
    """Somebody with the wrong files must read so at once, not wait for ten seconds and read "unavailable"."""
    oracle = await serve()
    foreign, lapsed = stranger.issue("intruder"), authority.issue("late", days=-1)
    for tls, why in (
        (foreign, ""),
        (type(foreign)(authority.ca, foreign.cert, foreign.key), ""),
        (type(foreign)(authority.ca), "no certificate is shown"),
        (lapsed, "has expired at "),
        (type(foreign)(authority.ca, lapsed.key, lapsed.key), "no certificate in PEM"),
        (type(foreign)(authority.ca, authority.issue("one").cert, foreign.key), "is not that of the key"),
    ):
        async with connect(oracle.address, tls=tls, node="demo") as mesh:
            with pytest.raises(Unauthenticated) as caught:
                await mesh.registry.GetSite(SITE)
        assert caught.value.reason == "HANDSHAKE_FAILED"
        assert why in caught.value.message
        assert "握手失败" in caught.value.localized["zh"]
    assert oracle.asked == []


async def test_a_server_that_dies_is_not_taken_for_one_that_turns_away(serve: Any, tls: Any) -> None:
    """Behind a proxy a server that restarts resets connections; its caller must wait, not doubt its own files."""
    oracle = await serve()
    oracle.answer = found
    host, _, port = oracle.address.rpartition(":")
    resets = 0
    carrying: list[asyncio.Task[None]] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal resets
        resets += 1
        if resets <= 6:
            await reader.read(1)
            writer.transport.abort()
            return
        carrying.append(cast("asyncio.Task[None]", asyncio.current_task()))
        further, on = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_pour(reader, on), _pour(further, writer))

    async with await asyncio.start_server(pass_on, "127.0.0.1") as proxy:
        address = f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with connect(address, tls=tls, node="demo") as mesh:
            assert (await mesh.registry.GetSite(SITE)).name == "sites/a"
        for each in carrying:
            each.cancel()
        await asyncio.wait(carrying)
    assert resets > 6


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


async def test_a_server_of_another_name_is_not_believed(serve: Any, tls: Any) -> None:
    """Whoever holds some certificate of the node must not pass for a site's data plane."""
    oracle = await serve()
    oracle.answer = found
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        from suanmesh.agent.v1.agent_service_pb2 import EchoRequest

        with pytest.raises(Unauthenticated) as caught:
            await mesh.agent(oracle.address, site="sites/b").Echo(EchoRequest(payload=b"x"))
        assert caught.value.reason == "HANDSHAKE_FAILED"
        oracle.answer = first_refused(0, NotFound("X", ""), lambda request, context: _same(request))
        assert (await mesh.agent(oracle.address, site="sites/a").Echo(EchoRequest(payload=b"x"))).payload == b"x"


async def _same(request: bytes) -> bytes:
    return request


async def test_time_shrinks_from_hop_to_hop(serve: Any, tls: Any) -> None:
    """A callee that works on for a caller which has given up wastes what others need."""
    oracle = await serve()
    oracle.answer = found
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        await mesh.registry.GetSite(SITE)
        with within(5.0):
            await mesh.registry.GetSite(SITE)
            await mesh.registry.GetSite(SITE, timeout=60)
        with within(0.0), pytest.raises(DeadlineExceeded):
            await mesh.registry.GetSite(SITE)
    assert 0.0 < oracle.left_s[0] <= deadlines.DEFAULT_S
    assert all(left <= 5.1 for left in oracle.left_s[1:])
    assert len(oracle.left_s) == 3


async def test_a_late_answer_is_a_refusal_with_a_reason(serve: Any, tls: Any) -> None:
    """A caller must not hang on a stopped process."""
    oracle = await serve()

    async def never(request: bytes, context: Any) -> bytes:
        await asyncio.Event().wait()
        return b""

    oracle.answer = never
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        with pytest.raises(DeadlineExceeded) as caught:
            await mesh.registry.GetSite(SITE, timeout=0.2)
    assert caught.value.reason == "DEADLINE_EXCEEDED"


async def test_a_stream_ends_with_what_the_server_says(serve: Any, tls: Any) -> None:
    """A follower must tell "ended" from "broken": one is done, the other opens anew."""
    oracle = await serve()

    async def two_then_gone(request: bytes, context: Any) -> None:
        await context.write(Job(name="jobs/1").SerializeToString())
        await context.write(Job(name="jobs/2").SerializeToString())
        raise Unavailable("NOT_READY", "draining")

    oracle.stream = two_then_gone
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        call: Any = mesh.scheduler.WatchJob(WatchJobRequest(name="jobs/1"))
        seen = [(await call.read()).name, (await call.read()).name]
        with pytest.raises(Unavailable):
            await call.read()
    assert seen == ["jobs/1", "jobs/2"]
    assert len(oracle.asked) == 1


async def test_who_lets_go_of_a_stream_ends_it(serve: Any, tls: Any) -> None:
    """A server must not stream on to somebody who has gone."""
    oracle = await serve()

    async def forever(request: bytes, context: Any) -> None:
        while True:
            await context.write(Job(name="jobs/1").SerializeToString())
            await asyncio.sleep(0.001)

    oracle.stream = forever
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        async for _ in mesh.scheduler.WatchJob(WatchJobRequest(name="jobs/1")):
            break
        async with asyncio.timeout(60):
            await oracle.cancelled.wait()


async def test_both_ways_of_a_two_way_stream(serve: Any, tls: Any) -> None:
    """An agent reports by writing when it has news and reads acknowledgements meanwhile."""
    oracle = await serve()

    async def acknowledge(requests: Any, context: Any) -> None:
        async for body in requests:
            sequence = ReportStateRequest.FromString(body).sequence
            await context.write(ReportStateResponse(sequence=sequence).SerializeToString())

    oracle.stream = acknowledge
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        call: Any = mesh.registry.ReportState()
        await call.write(ReportStateRequest(sequence=1))
        assert (await call.read()).sequence == 1
        await call.done_writing()
        assert await call.read() is aio.EOF

        async def reports() -> Any:
            for sequence in (1, 2, 3):
                yield ReportStateRequest(sequence=sequence)

        answers = [answer.sequence async for answer in mesh.registry.ReportState(reports())]
    assert answers == [1, 2, 3]


async def test_bytes_pass_through_unread(serve: Any, tls: Any) -> None:
    """A gateway forwards what it cannot parse, and the refusal with it."""
    oracle = await serve()
    oracle.answer = found
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        raw = mesh.channel("registry").unary_unary("/suanmesh.registry.v1.RegistryService/GetSite")
        answer = await raw(SITE.SerializeToString(), metadata=(("suanmesh-assertion-bin", b"\x00\x01"),))
    assert Site.FromString(answer).name == "sites/a"
    assert oracle.headers[0]["suanmesh-assertion-bin"] == b"\x00\x01"


async def test_who_is_refused_while_writing_learns_why(serve: Any, tls: Any) -> None:
    """Whoever sends a folder to a site without room must hear of the room, however fast the site says so."""
    oracle = await serve()

    async def full(requests: Any, context: Any) -> None:
        raise ResourceExhausted("QUOTA_EXCEEDED", "no room")

    async def reports() -> Any:
        for sequence in range(100):
            yield ReportStateRequest(sequence=sequence)

    async def told(call: Any, number: int) -> None:
        while number % 2 == 0:
            await call.write(ReportStateRequest(sequence=number))
        await call.read()

    oracle.stream = full
    async with connect(oracle.address, tls=tls, node="demo") as mesh:
        for number in range(100):
            with pytest.raises(ResourceExhausted):
                await told(mesh.registry.ReportState(reports() if number % 2 else None), number)
