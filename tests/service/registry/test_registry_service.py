"""The registry's calls on a store in memory, with certificates and signatures for real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from suanmesh.registry.v1 import party_pb2, pool_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.type.v1 import capacity_pb2, signed_pb2
from suanmesh_chassis import Call, Caller, Signer
from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.identity import agent_id, caller_of, user_id
from suanmesh_chassis.signing import new_signing_key
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_kernel.identifiers import is_compute_resource_identifier
from suanmesh_kernel.refusals import (
    Aborted,
    AlreadyExists,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from suanmesh_registry.assembly import Registry, assemble
from suanmesh_registry.domain.caps import Caps
from suanmesh_registry.enrolment import TOKEN_MEMORY_S
from suanmesh_registry.service import RegistryService
from suanmesh_registry.settings import RegistrySettings
from suanmesh_store import MemoryKeyspace, MemoryStore

OPERATOR = caller_of(user_id("demo", "operator", "o"), "demo")
SETTINGS = RegistrySettings()


@dataclass(frozen=True, slots=True)
class Desk:
    """A registry at work, and the hands of its clock."""

    registry: Registry
    clock: HandClock
    keys: MemoryKeyspace

    @property
    def service(self) -> RegistryService:
        return self.registry.service

    def call(self, caller: Caller = OPERATOR, request_id: str = "r") -> Call:
        return Call("m", caller, request_id, "", b"d", "peer", None, self.clock)

    async def judge(self) -> None:
        await self.registry.presence.sweep()
        await self.registry.liveness.read_leases()
        await self.registry.liveness.judge()

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.keys.tick()
        await self.judge()


@asynccontextmanager
async def a_desk(clock: HandClock, keys: MemoryKeyspace, caps: Caps = Caps()) -> AsyncIterator[Desk]:  # noqa: B008
    store, rng = MemoryStore("registry", keys=keys, clock=clock, rng=seeded_rng(1)), seeded_rng(2)
    settings = RegistrySettings(
        site_pools_max=caps.site_pools,
        party_sites_max=caps.party_sites,
        party_tokens_max=caps.party_tokens,
        parties_max=caps.parties,
    )
    registry = await assemble("demo", store, clock, rng, NodeCa.create("demo", clock), settings)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(registry.mirrors.run())
        with registry.liveness.watching():
            yield Desk(registry, clock, keys)
        running.cancel()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = HandClock()
    async with a_desk(clock, MemoryKeyspace(clock)) as opened:
        yield opened


class Agent:
    """An agent's keys and words."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.signer = Signer(new_signing_key(), agent_id("demo", site))
        self.caller = caller_of(agent_id("demo", site), "demo")
        key = ec.generate_private_key(ec.SECP256R1())
        self.tls_key = key.public_key()
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        self.csr_der = request.public_bytes(serialization.Encoding.DER)

    def enrolment(self, token: str) -> pb.EnrolSiteRequest:
        site = site_pb2.Site(display_name=self.site)
        key = self.signer.public_key
        return pb.EnrolSiteRequest(token=token, site_id=self.site, site=site, csr_der=self.csr_der, signing_key=key)

    def descriptor(self, generation: int = 1, cpu_milli: int = 2000, pool: str = "main") -> signed_pb2.Signed:
        message = pool_pb2.PoolDescriptor(
            name=f"sites/{self.site}/pools/{pool}",
            architecture="x86_64",
            hosts=[pool_pb2.Host(name="h")],
            host_capacity=capacity_pb2.Capacity(cpu_milli=cpu_milli, memory_bytes=1 << 30),
            runtimes=["python3.11"],
            generation=generation,
            capacity_origin=capacity_pb2.ORIGIN_PROBED,
        )
        return self.signer.sign(message.DESCRIPTOR.full_name, message.SerializeToString())

    def report(self, sequence: int, cpu_milli: int = 1500) -> pb.ReportStateRequest:
        free = capacity_pb2.Capacity(cpu_milli=cpu_milli)
        state = pool_pb2.PoolState(name=f"sites/{self.site}/pools/main", free=free)
        return pb.ReportStateRequest(sequence=sequence, pools=[state], data_endpoint="127.0.0.1:7")


async def a_token(desk: Desk) -> str:
    party = party_pb2.Party(kind=party_pb2.Party.KIND_COMPUTE_PROVIDER, display_name="P", currency="CNY")
    await desk.service.CreateParty(pb.CreatePartyRequest(party_id="p", party=party), desk.call())
    issued = await desk.service.CreateJoinToken(pb.CreateJoinTokenRequest(party="parties/p"), desk.call(request_id="t"))
    return issued.token


async def enrolled(desk: Desk, site: str = "a") -> Agent:
    agent = Agent(site)
    party = pb.CreatePartyRequest(
        party_id=f"p-{site}", party=party_pb2.Party(kind=party_pb2.Party.KIND_COMPUTE_PROVIDER, currency="CNY")
    )
    await desk.service.CreateParty(party, desk.call(request_id=f"party {site}"))
    asked = pb.CreateJoinTokenRequest(party=f"parties/p-{site}")
    issued = await desk.service.CreateJoinToken(asked, desk.call(request_id=f"token {site}"))
    await desk.service.EnrolSite(agent.enrolment(issued.token), desk.call(Caller()))
    return agent


async def reported(desk: Desk, agent: Agent, *reports: pb.ReportStateRequest) -> list[int]:
    async def all_reports() -> AsyncIterator[pb.ReportStateRequest]:
        for report in reports:
            yield report

    answers = desk.service.ReportState(all_reports(), desk.call(agent.caller))
    return [answer.sequence async for answer in answers]


async def active(desk: Desk, site: str = "a") -> Agent:
    agent = await enrolled(desk, site)
    await desk.service.RegisterPools(pb.RegisterPoolsRequest(descriptors=[agent.descriptor()]), desk.call(agent.caller))
    await reported(desk, agent, agent.report(1))
    await desk.judge()
    return agent


async def the_site(desk: Desk, site: str = "a") -> site_pb2.Site:
    return await desk.service.GetSite(pb.GetSiteRequest(name=f"sites/{site}"), desk.call())


async def the_pool(desk: Desk, site: str = "a") -> pool_pb2.Pool:
    return await desk.service.GetPool(pb.GetPoolRequest(name=f"sites/{site}/pools/main"), desk.call())


async def test_a_party_is_created_once(desk: Desk) -> None:
    """Two operators with the same idea must not overwrite each other's party."""
    request = pb.CreatePartyRequest(
        party_id="p", party=party_pb2.Party(kind=party_pb2.Party.KIND_CONSUMER, currency="CNY")
    )
    created = await desk.service.CreateParty(request, desk.call())

    with pytest.raises(AlreadyExists, match="PARTY_EXISTS"):
        await desk.service.CreateParty(request, desk.call(request_id="another"))
    listed = await desk.service.ListParties(pb.ListPartiesRequest(), desk.call())
    assert created.state == party_pb2.Party.STATE_APPROVED
    assert [party.name for party in listed.parties] == ["parties/p"]
    with pytest.raises(NotFound, match="PARTY_UNKNOWN"):
        await desk.service.GetParty(pb.GetPartyRequest(name="parties/q"), desk.call())


async def test_a_party_says_where_its_data_goes(desk: Desk) -> None:
    """Every user of it would have to name the site with each put, and the one who forgets pays for the way there."""
    await enrolled(desk, "a")
    own, stranger = (desk.call(caller_of(user_id("demo", party, "u"), "demo")) for party in ("p-a", "p-b"))
    service, name = desk.service, "parties/p-a"
    request = pb.SetDefaultSiteRequest(name=name, default_site="sites/a")

    assert (await service.SetDefaultSite(request, own)).default_site == "sites/a"
    kept = await service.SetPublishers(pb.SetPublishersRequest(name=name, publishers=["sites/a"]), own)
    assert (kept.default_site, list(kept.publishers)) == ("sites/a", ["sites/a"])
    with pytest.raises(PermissionDenied, match="NOT_OWNER"):
        await service.SetDefaultSite(request, stranger)
    with pytest.raises(NotFound, match="SITE_UNKNOWN"):
        await service.SetDefaultSite(pb.SetDefaultSiteRequest(name=name, default_site="sites/c"), own)
    assert not (await service.SetDefaultSite(pb.SetDefaultSiteRequest(name=name), desk.call())).default_site


async def test_a_party_says_which_sites_publish_for_it(desk: Desk) -> None:
    """Its data and its names would else be those of whoever comes first, or of nobody but the operator."""
    await enrolled(desk, "a")
    await enrolled(desk, "b")
    own, stranger = (desk.call(caller_of(user_id("demo", party, "u"), "demo")) for party in ("p-a", "p-b"))
    service, name = desk.service, "parties/p-a"
    both = pb.SetPublishersRequest(name=name, publishers=["sites/b", "sites/a", "sites/b"])

    party = await service.SetPublishers(both, own)
    assert list(party.publishers) == ["sites/a", "sites/b"]
    assert await service.GetParty(pb.GetPartyRequest(name=name), desk.call()) == party
    with pytest.raises(Aborted, match="ETAG_STALE"):
        await service.SetPublishers(pb.SetPublishersRequest(name=name, etag="stale"), own)
    with pytest.raises(PermissionDenied, match="NOT_OWNER"):
        await service.SetPublishers(both, stranger)
    with pytest.raises(NotFound, match="SITE_UNKNOWN"):
        await service.SetPublishers(pb.SetPublishersRequest(name=name, publishers=["sites/c"]), own)
    both.etag = "stale"
    assert await service.SetPublishers(both, own) == party
    none = await service.SetPublishers(pb.SetPublishersRequest(name=name, etag=party.etag), desk.call())
    assert (list(none.publishers), none.display_name, none.currency) == ([], "", "CNY")


async def test_a_token_makes_one_site_with_a_certificate_of_its_own(desk: Desk) -> None:
    """An agent must be able to prove who it is from its first call on, whatever its request asked for."""
    agent, token = Agent("a"), await a_token(desk)

    answer = await desk.service.EnrolSite(agent.enrolment(token), desk.call(Caller()))

    certificate = x509.load_pem_x509_certificate(answer.certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://demo/site/a/agent"]
    assert names.get_values_for_type(x509.DNSName) == ["agent.a.demo.suanmesh"]
    assert certificate.public_key() == agent.tls_key
    assert answer.site.party == "parties/p"
    ca = x509.load_pem_x509_certificate(answer.ca_pem)
    assert token.endswith(ca.fingerprint(hashes.SHA256()).hex())


async def test_enrolment_repeats_but_is_not_stolen(desk: Desk) -> None:
    """A lost answer is given again; whoever picks up the token afterwards gets nothing."""
    agent, token = Agent("a"), await a_token(desk)
    first = await desk.service.EnrolSite(agent.enrolment(token), desk.call(Caller()))
    again = await desk.service.EnrolSite(agent.enrolment(token), desk.call(Caller()))
    assert again.site == first.site

    with pytest.raises(AlreadyExists, match="SITE_EXISTS"):
        await desk.service.EnrolSite(Agent("a").enrolment(token), desk.call(Caller()))
    with pytest.raises(Unauthenticated, match="JOIN_TOKEN_INVALID"):
        await desk.service.EnrolSite(Agent("b").enrolment(token), desk.call(Caller()))
    broken = agent.enrolment(await enrolment_token(desk))
    broken.csr_der = b"nonsense"
    with pytest.raises(InvalidArgument, match="CSR_INVALID"):
        await desk.service.EnrolSite(broken, desk.call(Caller()))


async def enrolment_token(desk: Desk) -> str:
    asked = pb.CreateJoinTokenRequest(party="parties/p")
    return (await desk.service.CreateJoinToken(asked, desk.call(request_id="another token"))).token


async def test_a_token_is_forgotten_in_the_end(desk: Desk) -> None:
    """Tokens that nobody used must not fill the store for ever."""
    agent, token = Agent("a"), await a_token(desk)
    await desk.service.EnrolSite(agent.enrolment(token), desk.call(Caller()))

    desk.clock.advance(TOKEN_MEMORY_S)
    await desk.service.EnrolSite(agent.enrolment(token), desk.call(Caller()))
    desk.clock.advance(3_600)
    with pytest.raises(Unauthenticated, match="JOIN_TOKEN_INVALID"):
        await desk.service.EnrolSite(agent.enrolment(token), desk.call(Caller()))
    assert (await the_site(desk)).name == "sites/a"


async def test_another_partys_token_does_not_take_over_a_site(desk: Desk) -> None:
    """A site's name, once enrolled, is its agent's alone."""
    await enrolled(desk)
    token = await a_token(desk)

    with pytest.raises(AlreadyExists, match="SITE_EXISTS"):
        await desk.service.EnrolSite(Agent("a").enrolment(token), desk.call(Caller()))


async def test_a_pool_becomes_active_when_its_claim_is_confirmed(desk: Desk) -> None:
    """The scheduler places on ACTIVE pools of ALIVE sites only; both must come true by themselves."""
    agent = await enrolled(desk)
    request = pb.RegisterPoolsRequest(descriptors=[agent.descriptor()])
    (pool,) = (await desk.service.RegisterPools(request, desk.call(agent.caller))).pools
    assert pool.phase == pool_pb2.Pool.PHASE_VERIFYING
    assert is_compute_resource_identifier(pool.identifier)

    assert await reported(desk, agent, agent.report(1), agent.report(2), agent.report(1)) == [1, 2, 2]
    await desk.judge()

    site = await the_site(desk)
    assert (site.liveness, site.data_endpoint) == (site_pb2.Site.LIVENESS_ALIVE, "127.0.0.1:7")
    assert (await the_pool(desk)).phase == pool_pb2.Pool.PHASE_ACTIVE


async def test_a_report_beyond_the_claim_quarantines(desk: Desk) -> None:
    """A pool that has more free than it holds is misdescribed; jobs must not find out the hard way."""
    agent = await enrolled(desk)
    await desk.service.RegisterPools(pb.RegisterPoolsRequest(descriptors=[agent.descriptor()]), desk.call(agent.caller))
    await reported(desk, agent, agent.report(1, cpu_milli=2001))
    await desk.judge()

    assert (await the_pool(desk)).phase == pool_pb2.Pool.PHASE_QUARANTINED


async def test_a_newer_descriptor_keeps_the_identifier_and_an_older_changes_nothing(desk: Desk) -> None:
    """Bills name the identifier; it must outlive every change of hardware."""
    agent = await active(desk)
    before = await the_pool(desk)

    async def register(descriptor: signed_pb2.Signed) -> pool_pb2.Pool:
        request = pb.RegisterPoolsRequest(descriptors=[descriptor])
        return (await desk.service.RegisterPools(request, desk.call(agent.caller))).pools[0]

    assert await register(agent.descriptor(generation=1, cpu_milli=9)) == before
    newer = await register(agent.descriptor(generation=2, cpu_milli=4000))
    assert (newer.identifier, newer.phase) == (before.identifier, pool_pb2.Pool.PHASE_VERIFYING)
    assert newer.host_capacity.cpu_milli == 4000


async def test_only_ones_own_pools_under_ones_own_key(desk: Desk) -> None:
    """One provider must not describe, nor report for, another's compute."""
    agent, other = await enrolled(desk, "a"), await enrolled(desk, "b")
    mine = pb.RegisterPoolsRequest(descriptors=[agent.descriptor()])

    with pytest.raises(InvalidArgument, match="DESCRIPTOR_SIGNATURE_INVALID"):
        await desk.service.RegisterPools(mine, desk.call(other.caller))
    other.site = "a"
    request = pb.RegisterPoolsRequest(descriptors=[other.descriptor()])
    with pytest.raises(PermissionDenied, match="NOT_OWNER"):
        await desk.service.RegisterPools(request, desk.call(other.caller))
    with pytest.raises(PermissionDenied, match="NOT_OWNER"):
        await reported(desk, other, agent.report(1))
    with pytest.raises(NotFound, match="SITE_UNKNOWN"):
        await reported(desk, Agent("unknown"), agent.report(1))


async def test_silence_is_suspected_then_lost_then_forgiven(desk: Desk) -> None:
    """A dead site's jobs must move on; one that comes back must be used again without anybody's help."""
    agent, other = await active(desk, "a"), await active(desk, "b")

    async def states_after(seconds: float) -> tuple[int, int]:
        for _ in range(int(seconds)):
            await reported(desk, other, other.report(1))
            await desk.pass_time(1)
        return (await the_site(desk)).liveness, (await the_pool(desk)).phase

    assert await states_after(4) == (site_pb2.Site.LIVENESS_ALIVE, pool_pb2.Pool.PHASE_ACTIVE)
    assert await states_after(5) == (site_pb2.Site.LIVENESS_SUSPECT, pool_pb2.Pool.PHASE_SUSPECT)
    assert await states_after(30) == (site_pb2.Site.LIVENESS_LOST, pool_pb2.Pool.PHASE_SUSPECT)
    assert (await the_site(desk, "b")).liveness == site_pb2.Site.LIVENESS_ALIVE

    await reported(desk, agent, agent.report(1))
    assert await states_after(1) == (site_pb2.Site.LIVENESS_ALIVE, pool_pb2.Pool.PHASE_ACTIVE)


async def test_a_restarted_registry_waits_for_the_agents(desk: Desk) -> None:
    """Killing the registry must not make the sites it was talking to look dead."""
    agent = await active(desk)
    async with a_desk(desk.clock, desk.keys) as successor:
        await successor.judge()
        assert (await the_site(successor)).liveness == site_pb2.Site.LIVENESS_ALIVE
        await reported(successor, agent, agent.report(1))
        await successor.pass_time(1)
        assert (await the_site(successor)).liveness == site_pb2.Site.LIVENESS_ALIVE
        assert (await the_pool(successor)).phase == pool_pb2.Pool.PHASE_ACTIVE


async def test_search_finds_by_real_fields_and_soft_state(desk: Desk) -> None:
    """The filter of the README must find what it says."""
    await active(desk, "a")
    await active(desk, "b")

    async def found(text: str, size: int = 0, token: str = "") -> pb.SearchPoolsResponse:
        request = pb.SearchPoolsRequest(filter=text, page_size=size, page_token=token)
        return await desk.service.SearchPools(request, desk.call())

    both = await found('architecture = "x86_64" AND free.cpu_milli >= 1000')
    assert [each.pool.name for each in both.pools] == ["sites/a/pools/main", "sites/b/pools/main"]
    assert both.pools[0].state.free.cpu_milli == 1500
    assert both.pools[0].liveness == site_pb2.Site.LIVENESS_ALIVE
    one = await found('site.name = "sites/b" AND phase = ACTIVE AND host_capacity.memory_bytes = 1073741824')
    assert [each.pool.name for each in one.pools] == ["sites/b/pools/main"]
    assert not (await found("free.cpu_milli > 1500")).pools
    first = await found("", 1)
    second = await found("", 1, first.next_page_token)
    assert [first.pools[0].pool.name, second.pools[0].pool.name] == [each.pool.name for each in both.pools]
    with pytest.raises(InvalidArgument, match="PAGE_TOKEN_INVALID"):
        await found("phase = ACTIVE", 1, first.next_page_token)
    with pytest.raises(InvalidArgument, match="FILTER_INVALID"):
        await found("free.cpus > 1")
