"""Sites whose owners cordon, drain and remove them; parties that are let in and sent away."""

from __future__ import annotations

import pytest

from suanmesh.registry.v1 import party_pb2, pool_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh_chassis import Call
from suanmesh_chassis.identity import caller_of, user_id
from suanmesh_kernel.refusals import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
)
from suanmesh_store import Create, MemoryStore, Update
from suanmesh_store.layout import PLACEMENTS
from tests.service.registry.test_registry_service import (
    Agent,
    Desk,
    a_token,
    active,
    desk,
    enrolled,
    reported,
    the_pool,
    the_site,
)

__all__ = ["desk"]
SITE = "sites/a"


def owner(desk: Desk, party: str = "p-a") -> Call:
    return desk.call(caller_of(user_id("demo", party, "u"), "demo"))


async def admit(desk: Desk, call: Call, admission: Site.Admission.ValueType, **more: str) -> Site:
    request = pb.SetSiteAdmissionRequest(name=SITE, admission=admission, **more)
    return await desk.service.SetSiteAdmission(request, call)


async def test_an_owner_cordons_and_opens_its_site(desk: Desk) -> None:
    """Who changes a fan must be able to keep work away without the operator, and without losing what the site is."""
    await active(desk)
    before = await the_site(desk)
    closed = await admit(desk, owner(desk), Site.ADMISSION_CORDONED, note="new fans", etag=before.etag)
    assert (closed.admission, closed.admission_note) == (Site.ADMISSION_CORDONED, "new fans")
    assert closed.HasField("admission_time")
    await desk.pass_time(1)
    assert (await the_site(desk)).admission == Site.ADMISSION_CORDONED
    assert await admit(desk, owner(desk), Site.ADMISSION_CORDONED, note="new fans", etag="old") == closed
    with pytest.raises(Aborted, match="ETAG_STALE"):
        await admit(desk, owner(desk), Site.ADMISSION_OPEN, etag="old")
    assert (await admit(desk, owner(desk), Site.ADMISSION_OPEN)).admission_note == ""


async def test_who_looks_for_a_pool_finds_those_that_take_work(desk: Desk) -> None:
    """A user who searches would plan with machines that are about to be taken away."""
    agent = await active(desk)
    message = pool_pb2.PoolDescriptor.FromString(agent.descriptor(2).payload)
    message.limits.parties.append("parties/acme")
    signed = agent.signer.sign(message.DESCRIPTOR.full_name, message.SerializeToString())
    await desk.service.RegisterPools(pb.RegisterPoolsRequest(descriptors=[signed]), desk.call(agent.caller))

    async def found(filter_: str) -> int:
        answer = await desk.service.SearchPools(pb.SearchPoolsRequest(filter=filter_), desk.call())
        return len(answer.pools)

    assert await found('site.admission = "OPEN" AND limits.parties:"parties/acme"') == 1
    assert await found('limits.parties:"parties/other"') == 0
    held = await admit(desk, owner(desk), Site.ADMISSION_DRAINING)
    assert held.admission == Site.ADMISSION_DRAINING
    assert await found('site.admission = "OPEN"') == 0


async def test_others_do_not_decide_for_a_site(desk: Desk) -> None:
    """A competitor would drain the mesh of all sites but its own."""
    await active(desk)
    for call in (owner(desk, "p-b"), owner(desk, "consumer")):
        with pytest.raises(PermissionDenied, match="NOT_OWNER"):
            await admit(desk, call, Site.ADMISSION_DRAINING)
        with pytest.raises(PermissionDenied, match="NOT_OWNER"):
            await desk.service.RemoveSite(pb.RemoveSiteRequest(name=SITE), call)
    assert (await admit(desk, desk.call(), Site.ADMISSION_DRAINING)).admission == Site.ADMISSION_DRAINING


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"admission": Site.ADMISSION_UNSPECIFIED}, "admission"),
        ({"admission": Site.ADMISSION_REMOVED}, "admission"),
        ({"admission": 99}, "admission"),
        ({"admission": Site.ADMISSION_OPEN, "note": "a\x1bb"}, "note"),
        ({"admission": Site.ADMISSION_OPEN, "name": "a"}, "name"),
    ],
)
async def test_what_cannot_be_meant_is_refused(desk: Desk, asked: dict[str, object], field: str) -> None:
    """A note of one owner reaches the terminals of all."""
    await active(desk)
    with pytest.raises(InvalidArgument) as refused:
        await desk.service.SetSiteAdmission(pb.SetSiteAdmissionRequest(**({"name": SITE} | asked)), owner(desk))
    assert refused.value.facts["field"] == field
    with pytest.raises(NotFound, match="SITE_UNKNOWN"):
        await admit_none(desk)


async def test_a_site_leaves_once_nothing_lives_there(desk: Desk) -> None:
    """What still runs there would be lost, and its owner not be paid."""
    agent = await active(desk)
    scheduler = MemoryStore("scheduler", keys=desk.keys, clock=desk.clock)
    remove = pb.RemoveSiteRequest(name=SITE)
    with pytest.raises(FailedPrecondition, match="takes new work"):
        await desk.service.RemoveSite(remove, owner(desk))
    await admit(desk, owner(desk), Site.ADMISSION_DRAINING)
    runs = Placement(name="placements/p", site=SITE)
    [held] = (await scheduler.commit(Create(PLACEMENTS, runs.name, runs))).held
    with pytest.raises(FailedPrecondition, match="SITE_IN_USE") as refused:
        await desk.service.RemoveSite(remove, owner(desk))
    assert refused.value.facts["placements"] == "1"
    ended = held.draft()
    ended.end_time.GetCurrentTime()
    await scheduler.commit(Update(held, ended))
    gone = await desk.service.RemoveSite(remove, owner(desk))
    assert gone.admission == Site.ADMISSION_REMOVED
    assert await desk.service.RemoveSite(remove, owner(desk)) == gone
    with pytest.raises(NotFound, match="POOL_UNKNOWN"):
        await the_pool(desk)
    await is_heard_no_more(desk, agent)


async def is_heard_no_more(desk: Desk, agent: Agent) -> None:
    """Its certificate is good for months yet; its name must not become another's."""
    with pytest.raises(FailedPrecondition, match="SITE_REMOVED"):
        await reported(desk, agent, agent.report(2))
    request = pb.RegisterPoolsRequest(descriptors=[agent.descriptor(2)])
    with pytest.raises(FailedPrecondition, match="SITE_REMOVED"):
        await desk.service.RegisterPools(request, desk.call(agent.caller))
    with pytest.raises(FailedPrecondition, match="SITE_REMOVED"):
        await admit(desk, owner(desk), Site.ADMISSION_OPEN)
    token = await a_token(desk)
    with pytest.raises(AlreadyExists, match="SITE_EXISTS"):
        await desk.service.EnrolSite(Agent("a").enrolment(token), desk.call(request_id="again"))


async def test_a_party_is_let_in_and_sent_away(desk: Desk) -> None:
    """A provider that has not been looked at yet, or no longer pays, must not bring sites."""
    kind = party_pb2.Party(
        kind=party_pb2.Party.KIND_COMPUTE_PROVIDER, currency="CNY", state=party_pb2.Party.STATE_PENDING
    )
    made = await desk.service.CreateParty(pb.CreatePartyRequest(party_id="new", party=kind), desk.call())
    assert made.state == party_pb2.Party.STATE_PENDING
    token = pb.CreateJoinTokenRequest(party="parties/new")
    with pytest.raises(FailedPrecondition, match="PARTY_NOT_APPROVED"):
        await desk.service.CreateJoinToken(token, desk.call(request_id="t1"))
    for state, works in ((party_pb2.Party.STATE_APPROVED, True), (party_pb2.Party.STATE_SUSPENDED, False)):
        request = pb.SetPartyStateRequest(name="parties/new", state=state)
        changed = await desk.service.SetPartyState(request, desk.call())
        assert changed.state == state
        assert await desk.service.SetPartyState(request, desk.call()) == changed
        call = desk.call(request_id=f"t {state}")
        if works:
            assert (await desk.service.CreateJoinToken(token, call)).token
        else:
            with pytest.raises(FailedPrecondition, match="PARTY_NOT_APPROVED"):
                await desk.service.CreateJoinToken(token, call)
    with pytest.raises(InvalidArgument, match="state"):
        await desk.service.SetPartyState(pb.SetPartyStateRequest(name="parties/new"), desk.call())
    stale = pb.SetPartyStateRequest(name="parties/new", state=party_pb2.Party.STATE_APPROVED, etag="old")
    with pytest.raises(Aborted, match="ETAG_STALE"):
        await desk.service.SetPartyState(stale, desk.call())


@pytest.mark.parametrize(
    "limits",
    [
        pool_pb2.OwnerLimits(parties=["acme"]),
        pool_pb2.OwnerLimits(hours=[pool_pb2.WeekWindow(start_min=5, end_min=5)]),
        pool_pb2.OwnerLimits(hours=[pool_pb2.WeekWindow(start_min=10_080, end_min=10_090)]),
        pool_pb2.OwnerLimits(refused_kinds=[0]),
        pool_pb2.OwnerLimits(refused_kinds=[99]),
        pool_pb2.OwnerLimits(party_share_milli=1001),
    ],
)
async def test_limits_that_nobody_can_keep_to_are_refused(desk: Desk, limits: pool_pb2.OwnerLimits) -> None:
    """A limit that the scheduler reads otherwise than the site sends jobs there for nothing."""
    agent = await enrolled(desk)
    good = pool_pb2.OwnerLimits(
        parties=["parties/acme"], hours=[pool_pb2.WeekWindow(start_min=10_079, end_min=20_000)],
        refused_kinds=[pool_pb2.WORK_KIND_DATA], party_share_milli=500,
    )  # fmt: skip
    for number, (said, taken) in enumerate(((limits, False), (good, True))):
        signed = agent.descriptor(number + 1)
        message = pool_pb2.PoolDescriptor.FromString(signed.payload)
        message.limits.CopyFrom(said)
        signed = agent.signer.sign(message.DESCRIPTOR.full_name, message.SerializeToString())
        request = pb.RegisterPoolsRequest(descriptors=[signed])
        if taken:
            await desk.service.RegisterPools(request, desk.call(agent.caller))
            assert (await the_pool(desk)).limits == good
        else:
            with pytest.raises(InvalidArgument, match="limits"):
                await desk.service.RegisterPools(request, desk.call(agent.caller))


async def admit_none(desk: Desk) -> None:
    request = pb.SetSiteAdmissionRequest(name="sites/none", admission=Site.ADMISSION_OPEN)
    await desk.service.SetSiteAdmission(request, desk.call())
