"""Revoking at the registry: who may, what is recorded, and how those who were revoked come back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509

from suanmesh.registry.v1 import party_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh_chassis.identity import agent_id, caller_of, user_id
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import AlreadyExists, NotFound, PermissionDenied, Unauthenticated
from suanmesh_sdk.invites import new_key, signing_request
from suanmesh_store import MemoryKeyspace
from suanmesh_store.layout import REVOCATIONS
from tests.service.registry.test_registry_service import Agent, Desk, a_desk, enrolled

ALIVE, SUSPECT = site_pb2.Site.LIVENESS_ALIVE, site_pb2.Site.LIVENESS_SUSPECT
WEEK_S = 7 * 86_400
numbers = itertools.count()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = HandClock()
    async with a_desk(clock, MemoryKeyspace(clock)) as opened:
        yield opened


def request_id() -> str:
    return f"r{next(numbers)}"


async def revoke(desk: Desk, name: str, who: str = user_id("demo", "operator", "op")) -> None:
    call = desk.call(caller_of(who, "demo"), request_id())
    await desk.service.RevokeCertificates(pb.RevokeCertificatesRequest(name=name), call)


async def revoked(desk: Desk) -> dict[str, datetime]:
    store = desk.registry.service._store
    return {held.name: held.message.valid_from.ToDatetime(UTC) for held in (await store.snapshot(REVOCATIONS)).held}


async def site(desk: Desk) -> site_pb2.Site:
    return await desk.service.GetSite(pb.GetSiteRequest(name="sites/a"), desk.call())


async def token(desk: Desk, **asked: str) -> str:
    call = desk.call(request_id=request_id())
    return (await desk.service.CreateJoinToken(pb.CreateJoinTokenRequest(party="parties/p-a", **asked), call)).token


async def heard(desk: Desk, agent: Agent) -> None:
    await desk.registry.presence.hear(f"sites/{agent.site}", "127.0.0.1:7", ())
    await desk.judge()


async def test_who_is_revoked_stands_in_etcd_for_every_service(desk: Desk) -> None:
    """A service that is not told lets somebody in whom the operator has shut out."""
    await enrolled(desk)
    await revoke(desk, "parties/p-a/users/ann")
    await revoke(desk, "sites/a")
    assert await revoked(desk) == dict.fromkeys(("party/p-a/user/ann", "site/a/agent"), desk.clock.now())

    suspended = pb.SetPartyStateRequest(name="parties/p-a", state=party_pb2.Party.STATE_SUSPENDED)
    await desk.service.SetPartyState(suspended, desk.call(request_id=request_id()))
    assert "party/p-a" in await revoked(desk)
    approved = pb.SetPartyStateRequest(name="parties/p-a", state=party_pb2.Party.STATE_APPROVED)
    await desk.service.SetPartyState(approved, desk.call(request_id=request_id()))
    assert "party/p-a" not in await revoked(desk)


async def test_sites_are_told_whom_to_refuse_with_the_next_answer(desk: Desk) -> None:
    """Data planes ask nobody: without being told they serve a revoked caller until its tickets lapse."""
    await enrolled(desk)
    await revoke(desk, "sites/a")
    more: asyncio.Queue[int] = asyncio.Queue()

    async def reports() -> AsyncIterator[pb.ReportStateRequest]:
        while True:
            yield pb.ReportStateRequest(sequence=await more.get())

    answers: Any = desk.service.ReportState(reports(), desk.call(caller_of(agent_id("demo", "a"), "demo")))
    told = []
    for sequence in range(1, 5):
        if sequence == 3:
            await revoke(desk, "parties/p-a/users/ann")
        more.put_nowait(sequence)
        answer = await anext(answers)
        told.append([each.name for each in answer.refused.revocations] if answer.HasField("refused") else None)
    await answers.aclose()

    assert told == [["site/a/agent"], None, ["party/p-a/user/ann", "site/a/agent"], None]


async def test_owners_revoke_their_own(desk: Desk) -> None:
    """Whoever could revoke another's would stop their work at will."""
    await enrolled(desk)
    ann, stranger = user_id("demo", "p-a", "ann"), user_id("demo", "elsewhere", "eve")
    await revoke(desk, "sites/a", ann)
    await revoke(desk, "parties/p-a/users/bob", ann)
    for name in ("sites/a", "parties/p-a/users/bob"):
        with pytest.raises(PermissionDenied, match="NOT_OWNER"):
            await revoke(desk, name, stranger)
    with pytest.raises(NotFound, match="SITE_UNKNOWN"):
        await revoke(desk, "sites/nowhere")


async def test_a_user_who_is_invited_again_is_let_in(desk: Desk) -> None:
    """Somebody whose laptop was stolen must be able to work on with another."""
    await enrolled(desk)
    await revoke(desk, "parties/p-a/users/ann")
    request = pb.EnrolUserRequest(token=await token(desk, user="ann"), csr_der=signing_request(new_key()))

    answer = await desk.service.EnrolUser(request, desk.call(request_id=request_id()))

    certificate = x509.load_pem_x509_certificate(answer.certificate_pem)
    assert certificate.not_valid_before_utc >= (await revoked(desk))["party/p-a/user/ann"]


async def test_who_is_revoked_does_not_come_back_by_an_invite_from_before(desk: Desk) -> None:
    """Whoever was shut out would show the invite they once joined with, or one kept for later, and be in again."""
    await enrolled(desk)
    spent, kept = await token(desk, user="bob"), await token(desk, user="bob")
    joined = pb.EnrolUserRequest(token=spent, csr_der=signing_request(new_key()))
    await desk.service.EnrolUser(joined, desk.call(request_id=request_id()))
    agent = Agent("b")
    agents = agent.enrolment(await token(desk))
    again = Agent("b").enrolment(await token(desk, site="sites/a"))
    await desk.service.EnrolSite(agents, desk.call(request_id=request_id()))
    again.site_id = "a"
    for name in ("parties/p-a/users/bob", "sites/a", "sites/b"):
        await revoke(desk, name)

    for request in (joined, pb.EnrolUserRequest(token=kept, csr_der=signing_request(new_key()))):
        with pytest.raises(Unauthenticated, match="JOIN_TOKEN_INVALID"):
            await desk.service.EnrolUser(request, desk.call(request_id=request_id()))
    for site in (agents, again):
        with pytest.raises(Unauthenticated, match="JOIN_TOKEN_INVALID"):
            await desk.service.EnrolSite(site, desk.call(request_id=request_id()))


async def test_a_site_that_has_left_is_revoked(desk: Desk) -> None:
    """Its agent would otherwise be let in for as long as its certificate lasts."""
    await enrolled(desk)
    cordoned = pb.SetSiteAdmissionRequest(name="sites/a", admission=site_pb2.Site.ADMISSION_CORDONED)
    await desk.service.SetSiteAdmission(cordoned, desk.call(request_id=request_id()))
    await desk.service.RemoveSite(pb.RemoveSiteRequest(name="sites/a"), desk.call(request_id=request_id()))
    assert "site/a/agent" in await revoked(desk)


async def test_a_site_whose_certificate_has_lapsed_gets_no_work_until_it_joins_again(desk: Desk) -> None:
    """A job that is placed at a site which cannot report would be lost without anybody having been told."""
    agent = await enrolled(desk)
    await heard(desk, agent)
    assert (await site(desk)).liveness == ALIVE

    desk.clock.advance(WEEK_S + 1)
    await heard(desk, agent)  # over a stream that was open before
    found = await site(desk)
    assert (found.liveness, found.liveness_reason.code) == (SUSPECT, "CERTIFICATE_EXPIRED")

    with pytest.raises(AlreadyExists, match="SITE_EXISTS"):
        await desk.service.EnrolSite(Agent("a").enrolment(await token(desk)), desk.call(request_id=request_id()))
    again = Agent("a")
    joined = await desk.service.EnrolSite(
        again.enrolment(await token(desk, site="sites/a")), desk.call(request_id=request_id())
    )
    assert again.signer.public_key in [bytes(key.public_key) for key in joined.site.signing_keys]
    await heard(desk, again)
    found = await site(desk)
    assert (found.liveness, found.liveness_reason.code) == (ALIVE, "")


async def test_a_site_that_is_revoked_gets_no_work(desk: Desk) -> None:
    """Nobody revokes a site in order to have their jobs run there."""
    agent = await enrolled(desk)
    await heard(desk, agent)
    desk.clock.advance(600)
    await heard(desk, agent)

    await revoke(desk, "sites/a")
    await heard(desk, agent)

    found = await site(desk)
    assert (found.liveness, found.liveness_reason.code) == (SUSPECT, "CERTIFICATE_REVOKED")


async def test_a_token_lets_one_site_join_again_and_no_other(desk: Desk) -> None:
    """The operator has let one owner back in, and not given away the name of another's site."""
    await enrolled(desk)
    for asked, name in ((await token(desk, site="sites/a"), "b"), (await token(desk, user="ann"), "a")):
        with pytest.raises(Unauthenticated, match="JOIN_TOKEN_INVALID"):
            await desk.service.EnrolSite(Agent(name).enrolment(asked), desk.call(request_id=request_id()))
    with pytest.raises(NotFound, match="SITE_UNKNOWN"):
        await token(desk, site="sites/nowhere")
