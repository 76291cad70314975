"""A machine without power, cut off or frozen says nothing, and its connections stay as they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from suanmesh.registry.v1.registry_service_pb2 import CreatePartyRequest, GetPartyRequest, GetSiteRequest
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import WatchJobRequest
from suanmesh_sdk import Instance, Mesh, connect
from tests.silent_lines import line_to

SITE = GetSiteRequest(name="sites/a")
LONG_S = 60.0
"""No call of a test ends with its deadline."""


def both(*ways: Any) -> str:
    """The addresses of two gateways, as a context has them."""
    return ",".join(each.address for each in ways)


@asynccontextmanager
async def led_over_a_line(serve: Any, tls: Any, book: Any) -> AsyncIterator[tuple[Mesh, Any, Any, Any]]:
    """A mesh of two instances: the line to the one that leads, which can be held, the other, and who is known."""
    silent, other = await serve(), await serve()
    silent.answer = other.answer = found
    async with line_to(silent.address) as line:
        known = book(Instance(line.address, leader=True), Instance(other.address))
        async with Mesh(node="demo", tls=tls, resolver=known) as mesh:
            yield mesh, line, other, known


async def found(request: bytes, context: Any) -> bytes:
    return Site(name="sites/a").SerializeToString()


async def test_a_write_goes_on_at_the_next_gateway_once_one_says_nothing(serve: Any, tls: Any) -> None:
    """A person at work would wait for the deadline of each call, and then read that it failed."""
    silent, other = await serve(), await serve()
    silent.answer = other.answer = found
    async with line_to(silent.address) as line, connect(both(line, other), tls=tls, node="demo") as mesh:
        await mesh.registry.GetSite(SITE)
        line.open.clear()
        written = [mesh.registry.CreateParty(CreatePartyRequest(party_id=f"p{n}"), timeout=LONG_S) for n in range(40)]
        await asyncio.gather(*written)
        await mesh.registry.GetSite(SITE, timeout=LONG_S)
    names = [CreatePartyRequest.FromString(request).party_id for method, request in other.asked if "Party" in method]
    assert sorted(names) == sorted(f"p{n}" for n in range(40))


async def test_a_watch_goes_on_at_the_next_gateway(serve: Any, tls: Any) -> None:
    """Whoever waits for a job has nothing to say to a gateway, and would never learn that it is frozen."""
    silent, other = await serve(), await serve()
    silent.answer = other.answer = found
    tokens = list[str]()

    async def one_change(request: bytes, context: Any) -> None:
        tokens.append(token := WatchJobRequest.FromString(request).resume_token)
        await context.write(Job(name="jobs/1", etag=str(int(token or 0) + 1)).SerializeToString())
        if not token:
            await asyncio.Event().wait()

    silent.stream = other.stream = one_change
    async with line_to(silent.address) as line, connect(both(line, other), tls=tls, node="demo") as mesh:
        watched: Any = mesh.scheduler.WatchJob(WatchJobRequest(name="jobs/1"), timeout=LONG_S)
        assert (await watched.read()).etag == "1"
        await mesh.registry.GetSite(SITE)
        line.open.clear()
        answer, change = await asyncio.gather(mesh.registry.GetSite(SITE, timeout=LONG_S), watched.read())
    assert (answer.name, change.etag, tokens) == ("sites/a", "2", ["", "1"])


async def test_a_slow_call_is_made_once(serve: Any, tls: Any) -> None:
    """A gateway that works on something long is there: asked twice, it would work twice."""
    busy, other = await serve(), await serve()
    asked, checks = list[bytes](), asyncio.Semaphore(0)

    async def slowly(request: bytes, context: Any) -> bytes:
        if not request:
            checks.release()  # a health check
            return b""
        asked.append(request)
        for _ in range(3):
            await checks.acquire()
        return await found(request, context)

    busy.answer, other.answer = slowly, found
    async with connect(f"{busy.address},{other.address}", tls=tls, node="demo") as mesh:
        await mesh.registry.CreateParty(CreatePartyRequest(party_id="acme"), timeout=LONG_S)
    assert (len(asked), other.asked) == (1, [])


async def test_what_waits_for_a_silent_leader_goes_to_the_next_one(serve: Any, tls: Any, book: Any) -> None:
    """A gateway knows by its watch who leads: calls that came before must not wait for their deadline."""
    async with led_over_a_line(serve, tls, book) as (mesh, line, other, known):
        await mesh.registry.CreateParty(CreatePartyRequest(party_id="before"))
        line.open.clear()
        request = CreatePartyRequest(party_id="acme", request_id="once")
        waiting = asyncio.create_task(mesh.registry.CreateParty(request, timeout=LONG_S))
        await line.held.wait()
        known.rewrite(Instance(line.address), Instance(other.address, leader=True))
        await waiting
    assert [request for _, request in other.asked] == [request.SerializeToString()]


async def test_reads_leave_an_instance_that_says_nothing(serve: Any, tls: Any, book: Any) -> None:
    """Any instance answers them, so none has to wait for one that froze."""
    async with led_over_a_line(serve, tls, book) as (mesh, line, other, _):
        party = GetPartyRequest(name="parties/acme")
        await asyncio.gather(*(mesh.registry.GetParty(party) for _ in range(2)))
        line.open.clear()
        await asyncio.gather(*(mesh.registry.GetParty(party, timeout=LONG_S) for _ in range(4)))
        before = len(other.asked)
        await asyncio.gather(*(mesh.registry.GetParty(party, timeout=LONG_S) for _ in range(4)))
    assert len(other.asked) == before + 4
