"""The registry's calls that only its leader answers: what changes something, and what agents have reported to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from suanmesh.registry.v1 import party_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1.revocation_pb2 import Revocation
from suanmesh.type.v1 import trust_pb2
from suanmesh.type.v1.hello_pb2 import Hello
from suanmesh_chassis import Call
from suanmesh_chassis.hello import spoken_by, version
from suanmesh_kernel import pages
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import checked_name, parent
from suanmesh_kernel.protocols import OWN, require_common
from suanmesh_kernel.refusals import Aborted, AlreadyExists, InvalidArgument
from suanmesh_registry import wire
from suanmesh_registry.admission import SiteAdmission
from suanmesh_registry.catalogue import Catalogue, fields
from suanmesh_registry.domain import filters, parties, sites
from suanmesh_registry.domain.admission import require_there
from suanmesh_registry.domain.caps import Caps, require_parties
from suanmesh_registry.domain.liveness import Bounds, Liveness, run_for_ms
from suanmesh_registry.domain.parties import PartyState
from suanmesh_registry.enrolment import Enrolment
from suanmesh_registry.mirrors import Mirrors
from suanmesh_registry.presence import Presence
from suanmesh_registry.reads import RegistryReads, agents_site, party_of, site_of
from suanmesh_registry.refused import RefusedList
from suanmesh_registry.registrar import Registrar
from suanmesh_registry.renewing import Renewals
from suanmesh_registry.revoking import Revoking
from suanmesh_registry.signing_keys import SigningKeys
from suanmesh_registry.states import states_after
from suanmesh_registry.trusted_nodes import TrustedNodes
from suanmesh_store import Conflict, Create, Held, Store, Update
from suanmesh_store.layout import PARTIES
from suanmesh_store.marks import node_of

DESCRIPTORS_MAX = 100
STATES_MAX = 100


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the service is given."""

    store: Store
    clock: Clock
    mirrors: Mirrors
    catalogue: Catalogue
    presence: Presence
    enrolment: Enrolment
    renewals: Renewals
    revoking: Revoking
    registrar: Registrar
    signing_keys: SigningKeys
    trusted_nodes: TrustedNodes
    admission: SiteAdmission
    bounds: Bounds
    caps: Caps
    term: str
    """What no other term of the registry is called."""


class RegistryService(RegistryReads):
    """Parties, sites and pools; who may join, and who can be heard."""

    def __init__(self, given: Dependencies) -> None:
        super().__init__(given.store, given.mirrors)
        self._given = given
        self._catalogue = given.catalogue
        self._enrolment = given.enrolment
        self._refused = RefusedList(given.mirrors.revocations)

    async def CreateParty(self, request: pb.CreatePartyRequest, call: Call) -> party_pb2.Party:
        asked, known = request.party, self._mirrors.parties
        party = parties.registered(
            request.party_id, wire.party_kind(asked.kind), asked.display_name, asked.currency, self._given.clock.now()
        )
        if asked.state == party_pb2.Party.STATE_PENDING:
            party = replace(party, state=PartyState.PENDING)
        answer = wire.party_to(party)
        require_parties(party.name, len(known) + (known.get(party.name) is None), self._given.caps)
        creation = Create(PARTIES, party.name, answer)
        try:
            committed = await self._store.commit(creation, remember=call.idempotency(answer), author=call.author())
        except Conflict as conflict:
            raise AlreadyExists("PARTY_EXISTS", f"{party.name} is there already", name=party.name) from conflict
        await known.wait_for(committed.revision)  # so that the next one is counted beside it
        return answer

    async def SetPublishers(self, request: pb.SetPublishersRequest, call: Call) -> party_pb2.Party:
        held = await party_of(self._store, checked_name(request.name, "parties"))
        parties.require_owner(held.name, call.party, operator=call.is_("operator"))
        party = parties.with_publishers(wire.party_from(held.message), request.publishers)
        return await self._changed(held, party, party.publishers, request.etag, call)

    async def SetDefaultSite(self, request: pb.SetDefaultSiteRequest, call: Call) -> party_pb2.Party:
        held = await party_of(self._store, checked_name(request.name, "parties"))
        parties.require_owner(held.name, call.party, operator=call.is_("operator"))
        party = parties.with_default_site(wire.party_from(held.message), request.default_site)
        named = [party.default_site] if party.default_site else []
        return await self._changed(held, party, named, request.etag, call)

    async def _changed(
        self, held: Held[party_pb2.Party], party: parties.Party, named: Sequence[str], etag: str, call: Call
    ) -> party_pb2.Party:
        """Keep a party over what was read, unless it is that. Raises Aborted (`ETAG_STALE`), NotFound for a site."""
        if party == wire.party_from(held.message):
            return wire.shown(held)
        if etag not in ("", held.etag):
            raise Aborted("ETAG_STALE", f"{held.name} has changed since it was read", name=held.name, etag=held.etag)
        for site in named:
            await site_of(self._store, site)
        committed = await self._store.commit(Update(held, wire.party_to(party)), author=call.author())
        stored: Held[party_pb2.Party] = committed.held[0]
        return wire.shown(stored)

    async def SetPartyState(self, request: pb.SetPartyStateRequest, call: Call) -> party_pb2.Party:
        state = parties.checked_state(wire.party_state(request.state))
        held = await party_of(self._store, checked_name(request.name, "parties"))
        standing = wire.party_from(held.message)
        if standing.state is state:
            return wire.shown(held)
        if request.etag not in ("", held.etag):
            raise Aborted("ETAG_STALE", f"{held.name} has changed since it was read", name=held.name, etag=held.etag)
        party = wire.party_to(replace(standing, state=state))
        shut_out = await self._given.revoking.party_changes(held.name, suspended=state is PartyState.SUSPENDED)
        committed = await self._store.commit(Update(held, party), *shut_out, author=call.author())
        stored: Held[party_pb2.Party] = committed.held[0]
        return wire.shown(stored)

    async def SetSiteAdmission(self, request: pb.SetSiteAdmissionRequest, call: Call) -> site_pb2.Site:
        return wire.shown(await self._given.admission.set(request, call))

    async def RemoveSite(self, request: pb.RemoveSiteRequest, call: Call) -> site_pb2.Site:
        return wire.shown(await self._given.admission.remove(request.name, call))

    async def CreateJoinToken(self, request: pb.CreateJoinTokenRequest, call: Call) -> pb.JoinToken:
        held = await party_of(self._store, checked_name(request.party, "parties", field="party"))
        return await self._enrolment.issue(held, request, call)

    async def EnrolSite(self, request: pb.EnrolSiteRequest, call: Call) -> pb.EnrolSiteResponse:
        return await self._enrolment.enrol(request, call)

    async def EnrolUser(self, request: pb.EnrolUserRequest, call: Call) -> pb.EnrolUserResponse:
        return await self._enrolment.enrol_user(request, call)

    async def RenewCertificate(self, request: pb.RenewCertificateRequest, call: Call) -> pb.RenewCertificateResponse:
        return await self._given.renewals.renewed(request, call)

    async def RevokeCertificates(self, request: pb.RevokeCertificatesRequest, call: Call) -> Revocation:
        return await self._given.revoking.revoke(request, call)

    async def GetTrustBundle(self, request: pb.GetTrustBundleRequest, call: Call) -> trust_pb2.TrustBundle:
        return await self._given.trusted_nodes.bundle()

    async def SetNodeTrust(self, request: pb.SetNodeTrustRequest, call: Call) -> trust_pb2.NodeTrust:
        return await self._given.trusted_nodes.set(request.trust, call)

    async def RotateSigningKey(self, request: pb.RotateSigningKeyRequest, call: Call) -> site_pb2.Site:
        return wire.shown(await self._given.signing_keys.rotated(request.rotation, call))

    async def RegisterPools(self, request: pb.RegisterPoolsRequest, call: Call) -> pb.RegisterPoolsResponse:
        if not 1 <= len(request.descriptors) <= DESCRIPTORS_MAX:
            raise InvalidArgument("FIELD_INVALID", f"descriptors: 1 to {DESCRIPTORS_MAX}", field="descriptors")
        site = await agents_site(self._store, call)
        held = await self._given.registrar.registered(site, request.descriptors, call.author())
        return pb.RegisterPoolsResponse(pools=[wire.shown(each) for each in held])

    async def SearchPools(self, request: pb.SearchPoolsRequest, call: Call) -> pb.SearchPoolsResponse:
        keeps = filters.planned(request.filter, fields())
        size, scope = pages.checked_size(request.page_size), f"SearchPools {request.filter}"
        after = pages.after(request.page_token, scope)
        names, token = pages.cut(self._catalogue.search(keeps, after=after, limit=size + 1), size, scope)
        answer = pb.SearchPoolsResponse(next_page_token=token)
        for name in names:
            self._show(name, answer.pools.add())
        return answer

    async def ReadPoolStates(self, request: pb.ReadPoolStatesRequest, call: Call) -> pb.ReadPoolStatesResponse:
        return states_after(self._catalogue, self._given.term, request.resume_token)

    async def ReportState(
        self, requests: AsyncIterator[pb.ReportStateRequest], call: Call
    ) -> AsyncIterator[pb.ReportStateResponse]:
        await agents_site(self._store, call)
        highest, hello, told = 0, None, None
        async for report in requests:
            if hello is None:
                hello = await self._greeted(report.hello)
            if report.sequence > highest:
                await self._hear(report, call.site)
                highest = report.sequence
            refused = self._refused.current()
            news, told = None if refused is told else refused, refused
            run_for_ms = self._run_for_ms(call.site)
            yield pb.ReportStateResponse(sequence=highest, run_for_ms=run_for_ms, hello=hello, refused=news)
            hello = Hello()

    async def _greeted(self, theirs: Hello) -> Hello:
        """Which node this is, and what both speak. Raises FailedPrecondition where they have nothing in common."""
        both = require_common(OWN, spoken_by(theirs))
        node = await node_of(self._store)
        return Hello(version=version(), protocol=both, protocol_oldest=both, node_id=node.node_id)

    async def _hear(self, report: pb.ReportStateRequest, site: str) -> None:
        if len(report.pools) > STATES_MAX:
            raise InvalidArgument("FIELD_INVALID", f"pools: at most {STATES_MAX}", field="pools")
        if (held := self._mirrors.sites.get(site)) is not None:
            require_there(site, wire.admission_from(held.message))
        for state in report.pools:
            sites.require_pool_of(site, state.name)
        endpoint = sites.checked_endpoint(report.data_endpoint, field="data_endpoint")
        await self._given.presence.hear(site, endpoint, report.pools)

    def _run_for_ms(self, site: str) -> int:
        held = self._mirrors.sites.get(site)
        recorded = wire.liveness_from(held.message.liveness) if held else Liveness.LOST
        return run_for_ms(recorded, self._given.bounds, leased=self._given.presence.stands(site))

    def _show(self, name: str, found: pb.FoundPool) -> None:
        pool, site = self._mirrors.pools.get(name), self._mirrors.sites.get(parent(name))
        if pool is None or site is None:
            raise ValueError(f"the catalogue tells of {name}, which the mirrors do not hold")
        found.pool.CopyFrom(pool.message)
        found.pool.etag = pool.etag
        found.liveness = site.message.liveness
        if (state := self._catalogue.state(name)) is not None:
            found.state.CopyFrom(state)
