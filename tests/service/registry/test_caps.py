"""How many pools, sites, tokens and parties there may be: one more is refused with the number, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from suanmesh.registry.v1 import party_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh_chassis import Caller
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import AlreadyExists, ResourceExhausted
from suanmesh_registry.domain.caps import Caps
from suanmesh_store.memory import MemoryKeyspace
from tests.service.registry.test_registry_service import Agent, Desk, a_desk, a_token

CAPS = Caps(site_pools=2, party_sites=2, party_tokens=3, parties=2)


@pytest.fixture
async def small() -> AsyncIterator[Desk]:
    clock = HandClock()
    async with a_desk(clock, MemoryKeyspace(clock), CAPS) as opened:
        yield opened


async def joined(desk: Desk, site: str, token: str) -> Agent:
    agent = Agent(site)
    await desk.service.EnrolSite(agent.enrolment(token), desk.call(Caller()))
    return agent


async def token(desk: Desk, request_id: str) -> str:
    request = pb.CreateJoinTokenRequest(party="parties/p")
    return (await desk.service.CreateJoinToken(request, desk.call(request_id=request_id))).token


async def test_a_site_has_no_more_pools_than_it_may(small: Desk) -> None:
    """One hostile agent would else fill etcd, and every mirror and every search, with pools of its own."""
    agent = await joined(small, "a", await a_token(small))

    async def register(*pools: str, generation: int = 1) -> int:
        signed = [agent.descriptor(generation, pool=pool) for pool in pools]
        answer = await small.service.RegisterPools(
            pb.RegisterPoolsRequest(descriptors=signed), small.call(agent.caller)
        )
        return len(answer.pools)

    with pytest.raises(ResourceExhausted, match="POOLS_TOO_MANY") as refused:
        await register("x", "y", "z")
    assert refused.value.facts == {"name": "sites/a", "most": "2"}
    assert await register("x", "y") == 2
    with pytest.raises(ResourceExhausted, match="POOLS_TOO_MANY"):
        await register("z")
    assert await register("x", "y", generation=2) == 2


async def test_a_party_has_no_more_sites_and_tokens_than_it_may(small: Desk) -> None:
    """What each site may have is no bound where there may be any number of sites."""
    await joined(small, "a", await a_token(small))
    await joined(small, "b", await token(small, "t2"))
    third = await token(small, "t3")
    with pytest.raises(ResourceExhausted, match="SITES_TOO_MANY") as refused:
        await joined(small, "c", third)
    assert refused.value.facts == {"name": "parties/p", "most": "2"}
    with pytest.raises(ResourceExhausted, match="JOIN_TOKENS_TOO_MANY"):
        await token(small, "t4")
    assert await token(small, "t3") == third


async def test_a_node_has_no_more_parties_than_it_may(small: Desk) -> None:
    """A script of the operator that runs wild must not fill what everybody else lives in."""
    party = party_pb2.Party(kind=party_pb2.Party.KIND_CONSUMER, currency="CNY")
    for name in ("p", "q"):
        await small.service.CreateParty(pb.CreatePartyRequest(party_id=name, party=party), small.call(request_id=name))
    with pytest.raises(ResourceExhausted, match="PARTIES_TOO_MANY"):
        await small.service.CreateParty(pb.CreatePartyRequest(party_id="r", party=party), small.call(request_id="r"))
    with pytest.raises(AlreadyExists, match="PARTY_EXISTS"):
        await small.service.CreateParty(
            pb.CreatePartyRequest(party_id="q", party=party), small.call(request_id="again")
        )
