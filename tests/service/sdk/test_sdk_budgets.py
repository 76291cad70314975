"""How often callers insist, over real connections: not against what fails, and always until there is a leader."""

from __future__ import annotations

import asyncio
from typing import Any

from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.registry_service_pb2 import CreatePartyRequest
from suanmesh_kernel.refusals import DeadlineExceeded, Refusal, Unavailable
from suanmesh_sdk import Instance, Mesh
from tests.service.sdk.test_sdk_calls import SITE, first_refused


async def test_a_sick_service_is_not_stormed(serve: Any, tls: Any, book: Any) -> None:
    """Retries must not multiply the load of a service that fails: beyond the budget they stop."""
    sick = await serve()

    async def refused(request: bytes, context: Any) -> bytes:
        raise Unavailable("DISK_FULL", "the disk is full")

    sick.answer = refused
    resolver = book(Instance(sick.address))
    ended: list[int] = []

    class Count:
        headers = ()

        def begin(self, method: str, effect: str) -> Count:
            return self

        def end(self, code: str, *, address: str, attempts: int, refusal: Refusal | None) -> None:
            ended.append(attempts)

    async with Mesh(node="demo", tls=tls, resolver=resolver, hook=Count()) as mesh:
        calls = [mesh.registry.GetSite(SITE, timeout=2.0) for _ in range(300)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, (Unavailable, DeadlineExceeded)) for answer in answers)
    assert len(ended) == 300
    assert len(sick.asked) <= sum(ended) <= 1.1 * 300 + 20 + 2 * 3  # an attempt may end on its way, when time is up


async def test_everybody_waits_for_the_next_leader(serve: Any, tls: Any, book: Any) -> None:
    """When a leader dies, the calls of two seconds wait at once: more than any budget has retries for."""
    heir = await serve()

    async def created(request: bytes, context: Any) -> bytes:
        return Party(name="parties/p").SerializeToString()

    heir.answer = first_refused(60, Unavailable("NOT_LEADER", "ask the leader", leader=""), created)
    resolver = book(Instance("127.0.0.1:1", leader=True), Instance(heir.address))
    async with Mesh(node="demo", tls=tls, resolver=resolver) as mesh, asyncio.TaskGroup() as tasks:
        calls: list[Any] = [mesh.registry.CreateParty(CreatePartyRequest(party_id=f"p{n}")) for n in range(120)]
        answers = [tasks.create_task(call) for call in calls]
        await asyncio.sleep(0.5)
        assert not any(answer.done() for answer in answers)
        resolver.rewrite(Instance(heir.address, leader=True))

    assert {answer.result().name for answer in answers} == {"parties/p"}
