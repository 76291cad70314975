"""The registry's calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from suanmesh.registry.v1 import party_pb2, pool_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1.join_token_pb2 import JoinTokenRecord
from suanmesh_chassis import Call
from suanmesh_kernel import pages
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.names import checked_name, parent
from suanmesh_kernel.refusals import Aborted, AlreadyExists, InvalidArgument, NotFound
from suanmesh_registry import rows, wire
from suanmesh_registry.certificates import Certifier
from suanmesh_registry.domain import filters, parties, sites, tokens
from suanmesh_registry.domain.caps import Caps, require_parties, require_sites, require_tokens
from suanmesh_registry.domain.liveness import Bounds, Liveness, run_for_ms
from suanmesh_registry.presence import Presence
from suanmesh_registry.registrar import Registrar
from suanmesh_registry.watch import watched
from suanmesh_store import Conflict, Create, Held, Kind, Mirror, Store, Update
from suanmesh_store.layout import JOIN_TOKENS, PARTIES, POOLS, SITES, M

DESCRIPTORS_MAX = 100
STATES_MAX = 100
TOKEN_MEMORY_S = 86_400
"""How long a token is remembered after it lapsed, so that an agent whose answer was lost can ask again."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the service is given."""

    node: str
    store: Store
    sites: Mirror[site_pb2.Site]
    pools: Mirror[pool_pb2.Pool]
    presence: Presence
    certifier: Certifier
    registrar: Registrar
    clock: Clock
    rng: Rng
    bounds: Bounds
    caps: Caps = Caps()  # noqa: RUF009 - a frozen value


class RegistryService:
    """Parties, sites and pools; who may join, and who can be heard."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._store = around.store

    async def CreateParty(self, request: pb.CreatePartyRequest, call: Call) -> party_pb2.Party:
        asked = request.party
        party = parties.registered(
            request.party_id, wire.party_kind(asked.kind), asked.display_name, asked.currency, self._around.clock.now()
        )
        answer = wire.party_to(party)
        standing = {held.name for held in (await self._store.snapshot(PARTIES)).held}
        require_parties(party.name, len(standing | {party.name}), self._around.caps)
        creation = Create(PARTIES, party.name, answer)
        try:
            await self._store.commit(creation, remember=call.memo(answer), author=call.author())
        except Conflict as conflict:
            raise AlreadyExists("PARTY_EXISTS", f"{party.name} is there already", name=party.name) from conflict
        return answer

    async def GetParty(self, request: pb.GetPartyRequest, call: Call) -> party_pb2.Party:
        name = checked_name(request.name, "parties")
        parties.must_see(name, call.party, sees_all=call.is_("operator") or call.is_("service"))
        return wire.shown(await self._party(name))

    async def ListParties(self, request: pb.ListPartiesRequest, call: Call) -> pb.ListPartiesResponse:
        page, token = await self._page(PARTIES, request.page_size, request.page_token)
        return pb.ListPartiesResponse(parties=[wire.shown(held) for held in page], next_page_token=token)

    async def SetPublishers(self, request: pb.SetPublishersRequest, call: Call) -> party_pb2.Party:
        held = await self._party(checked_name(request.name, "parties"))
        parties.must_own(held.name, call.party, operator=call.is_("operator"))
        standing = wire.party_from(held.message)
        party = parties.with_publishers(standing, request.publishers)
        if party == standing:
            return wire.shown(held)
        if request.etag not in ("", held.etag):
            raise Aborted("ETAG_STALE", f"{held.name} has changed since it was read", name=held.name, etag=held.etag)
        for site in party.publishers:
            await self._site(site)
        committed = await self._store.commit(Update(held, wire.party_to(party)), author=call.author())
        stored: Held[party_pb2.Party] = committed.held[0]
        return wire.shown(stored)

    async def CreateJoinToken(self, request: pb.CreateJoinTokenRequest, call: Call) -> pb.JoinToken:
        held = await self._party(checked_name(request.party, "parties", field="party"))
        parties.must_be_approved(wire.party_from(held.message))
        now, certifier = self._around.clock.now(), self._around.certifier
        key = certifier.token_key(call.principal, call.request_id, call.body_digest)
        asked, text = tokens.issued(held.name, request.ttl_s, certifier.ca_digest, now, key)
        kept = await self._issued(asked, held, call)
        return pb.JoinToken(token=text, expire_time=wire.timestamp(kept.expire_time))

    async def EnrolSite(self, request: pb.EnrolSiteRequest, call: Call) -> pb.EnrolSiteResponse:
        around, now = self._around, self._around.clock.now()
        bearer = tokens.shown(request.token)
        held = await self._store.get(JOIN_TOKENS, bearer.name)
        if held is None:
            raise tokens.invalid()
        token = wire.token_from(held.message)
        site = sites.enrolled(request.site_id, wire.site_from(request.site), token.party, around.node, now)
        certificate = around.certifier.certified(site.name, request.csr_der)
        digest = tokens.keys_digest(certificate.public_key, site.signing_key)
        spent = tokens.spent(token, bearer, site.name, digest, now)
        enrolled = await (self._site(site.name) if spent is token else self._enrol(held, spent, site, call))
        return pb.EnrolSiteResponse(
            site=wire.shown(enrolled), certificate_pem=certificate.pem, ca_pem=around.certifier.ca_pem
        )

    async def GetSite(self, request: pb.GetSiteRequest, call: Call) -> site_pb2.Site:
        return wire.shown(await self._site(checked_name(request.name, "sites")))

    async def ListSites(self, request: pb.ListSitesRequest, call: Call) -> pb.ListSitesResponse:
        page, token = await self._page(SITES, request.page_size, request.page_token)
        return pb.ListSitesResponse(sites=[wire.shown(held) for held in page], next_page_token=token)

    async def RegisterPools(self, request: pb.RegisterPoolsRequest, call: Call) -> pb.RegisterPoolsResponse:
        if not 1 <= len(request.descriptors) <= DESCRIPTORS_MAX:
            raise InvalidArgument("FIELD_INVALID", f"descriptors: 1 to {DESCRIPTORS_MAX}", field="descriptors")
        site = await self._site(call.site)
        held = await self._around.registrar.registered(site, request.descriptors, call.author())
        return pb.RegisterPoolsResponse(pools=[wire.shown(each) for each in held])

    async def GetPool(self, request: pb.GetPoolRequest, call: Call) -> pool_pb2.Pool:
        name = checked_name(request.name, "sites", "pools")
        held = await self._store.get(POOLS, name)
        if held is None:
            raise NotFound("POOL_UNKNOWN", f"there is no pool {name}", name=name)
        return wire.shown(held)

    async def SearchPools(self, request: pb.SearchPoolsRequest, call: Call) -> pb.SearchPoolsResponse:
        keeps = filters.planned(request.filter, rows.fields())
        size, scope = pages.checked_size(request.page_size), f"SearchPools {request.filter}"
        after = pages.after(request.page_token, scope)
        found = {name: each for name in self._around.pools.names() if name > after and (each := self._found(name))}
        names, token = pages.cut((name for name, each in found.items() if keeps(rows.row(each))), size, scope)
        return pb.SearchPoolsResponse(pools=[_told(found[name]) for name in names], next_page_token=token)

    async def WatchPools(
        self, request: pb.WatchPoolsRequest, call: Call
    ) -> AsyncGenerator[pb.WatchPoolsResponse, None]:
        async for batch in watched(self._around.sites, self._around.pools, request.resume_token):
            yield batch

    async def ReportState(
        self, requests: AsyncIterator[pb.ReportStateRequest], call: Call
    ) -> AsyncIterator[pb.ReportStateResponse]:
        await self._site(call.site)
        highest = 0
        async for report in requests:
            if report.sequence > highest:
                await self._hear(report, call.site)
                highest = report.sequence
            yield pb.ReportStateResponse(sequence=highest, run_for_ms=self._run_for_ms(call.site))

    async def _hear(self, report: pb.ReportStateRequest, site: str) -> None:
        if len(report.pools) > STATES_MAX:
            raise InvalidArgument("FIELD_INVALID", f"pools: at most {STATES_MAX}", field="pools")
        for state in report.pools:
            sites.must_own(site, state.name)
        endpoint = sites.checked_endpoint(report.data_endpoint, field="data_endpoint")
        await self._around.presence.hear(site, endpoint, report.pools)

    def _run_for_ms(self, site: str) -> int:
        held = self._around.sites.get(site)
        recorded = wire.liveness_from(held.message.liveness) if held else Liveness.LOST
        return run_for_ms(recorded, self._around.bounds, leased=self._around.presence.stands(site))

    async def _issued(self, asked: tokens.JoinToken, party: Held[party_pb2.Party], call: Call) -> tokens.JoinToken:
        """What is kept of a token, issued now or when the same was asked before; a memo of the answer would tell it."""
        standing = await self._store.get(JOIN_TOKENS, asked.name)
        if standing is not None:
            return tokens.issued_before(wire.token_from(standing.message), asked)
        await self._require_room_for_token(party.name)
        ttl_s = (asked.expire_time - self._around.clock.now()).total_seconds()
        lease = await self._store.open_lease(ttl_s + TOKEN_MEMORY_S)
        creation = Create(JOIN_TOKENS, asked.name, wire.token_to(asked), lease.id)
        try:
            await self._store.commit(creation, guards=[party], author=call.author())
        except Conflict as conflict:
            if JOIN_TOKENS.key(asked.name) not in conflict.keys:
                raise
            return await self._issued(asked, party, call)  # the same was asked twice at once
        return asked

    async def _require_room_for_token(self, party: str) -> None:
        """Tokens are remembered for a day after they lapsed; spent ones count, too."""
        tokens_held = (await self._store.snapshot(JOIN_TOKENS)).held
        require_tokens(party, 1 + sum(held.message.party == party for held in tokens_held), self._around.caps)

    async def _enrol(
        self, held: Held[JoinTokenRecord], spent: tokens.JoinToken, site: sites.Site, call: Call
    ) -> Held[site_pb2.Site]:
        party = await self._party(spent.party)
        parties.must_be_approved(wire.party_from(party.message))
        has = sum(each.message.party == party.name for each in self._around.sites.values())
        require_sites(party.name, has + (self._around.sites.get(site.name) is None), self._around.caps)
        changes = (Update(held, wire.token_to(spent)), Create(SITES, site.name, wire.site_to(site)))
        try:
            committed = await self._store.commit(*changes, guards=[party], author=call.author())
        except Conflict as conflict:
            if SITES.key(site.name) in conflict.keys:
                raise AlreadyExists("SITE_EXISTS", f"{site.name} is enrolled already", name=site.name) from conflict
            raise
        return committed.held[1]

    async def _party(self, name: str) -> Held[party_pb2.Party]:
        held = await self._store.get(PARTIES, name)
        if held is None:
            raise parties.unknown(name)
        return held

    async def _site(self, name: str) -> Held[site_pb2.Site]:
        held = await self._store.get(SITES, name)
        if held is None:
            raise NotFound("SITE_UNKNOWN", f"there is no site {name}", name=name)
        return held

    async def _page(self, kind: Kind[M], page_size: int, page_token: str) -> tuple[list[Held[M]], str]:
        size = pages.checked_size(page_size)
        after = pages.after(page_token, kind.collection)
        held = {each.name: each for each in (await self._store.snapshot(kind)).held if each.name > after}
        names, token = pages.cut(held, size, kind.collection)
        return [held[name] for name in names], token

    def _found(self, name: str) -> rows.Found | None:
        pool, site = self._around.pools.get(name), self._around.sites.get(parent(name))
        if pool is None or site is None:
            return None
        return rows.Found(wire.shown(pool), wire.shown(site), self._around.presence.state(site.name, name))


def _told(found: rows.Found) -> pb.FoundPool:
    return pb.FoundPool(pool=found.pool, state=found.state, liveness=found.site.liveness)
