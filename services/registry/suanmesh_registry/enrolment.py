"""Who may join: join tokens, and the sites and users that spend them."""

from __future__ import annotations

from dataclasses import dataclass

from suanmesh.registry.v1 import party_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1.join_token_pb2 import JoinTokenRecord
from suanmesh_chassis import Call
from suanmesh_chassis.ca import common_name
from suanmesh_chassis.identity import agent_id, user_id
from suanmesh_chassis.signing import key_id, window_from, window_to
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import checked_name, last
from suanmesh_kernel.refusals import AlreadyExists, InvalidArgument
from suanmesh_registry import wire
from suanmesh_registry.certificates import Certifier, SignedCertificate
from suanmesh_registry.domain import parties, signing_keys, sites, tokens
from suanmesh_registry.domain.admission import require_there
from suanmesh_registry.domain.caps import Caps, require_sites, require_tokens
from suanmesh_registry.domain.revoked import agent_path
from suanmesh_registry.mirrors import Mirrors
from suanmesh_registry.reads import party_of, site_of
from suanmesh_registry.revoking import Revoking
from suanmesh_sdk.values import timestamp
from suanmesh_store import Conflict, Create, Held, Store, Update
from suanmesh_store.layout import JOIN_TOKENS, SITES

TOKEN_MEMORY_S = 86_400
"""How long a token is remembered after it lapsed, so that an agent whose answer was lost can ask again."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Issues join tokens, and enrols the sites and users that show them."""

    node: str
    store: Store
    mirrors: Mirrors
    certifier: Certifier
    clock: Clock
    caps: Caps
    revoking: Revoking
    signing_key_days: float
    """How long a site's first signing key is good."""

    async def issue(self, held: Held[party_pb2.Party], request: pb.CreateJoinTokenRequest, call: Call) -> pb.JoinToken:
        """A token for a site or a user of the party; the same for the same request, which nobody has to keep for that.

        Raises FailedPrecondition (`PARTY_NOT_APPROVED`), InvalidArgument (`FIELD_INVALID`, `REQUEST_ID_REUSED`),
        ResourceExhausted (`JOIN_TOKENS_TOO_MANY`).
        """
        parties.require_approved(wire.party_from(held.message))
        if request.site:
            await self._require_rejoins(request.site, held.name)
        key = self.certifier.token_key(call.principal, call.request_id, call.body_digest)
        now = self.clock.now()
        asked, text = tokens.issued(
            held.name, request.user, request.ttl_s, self.certifier.ca_digest, now, key, site=request.site
        )
        kept = await self._issued(asked, held, call)
        seconds = (kept.expire_time - now).total_seconds()
        certificate, number = self.certifier.of_bearer(kept.name, seconds)
        expires = timestamp(kept.expire_time)
        return pb.JoinToken(token=text, expire_time=expires, certificate_der=certificate, key=number)

    async def enrol_user(self, request: pb.EnrolUserRequest, call: Call) -> pb.EnrolUserResponse:
        """The certificate of a user whose key was made elsewhere.

        Raises Unauthenticated (`JOIN_TOKEN_INVALID`), InvalidArgument (`CSR_INVALID`), FailedPrecondition
        (`PARTY_NOT_APPROVED`).
        """
        held, bearer, token = await self._shown(request.token)
        principal = user_id(self.node, last(token.party), token.user)
        valid_from = await self.revoking.valid_by(held, common_name(principal))
        certificate = self.certifier.of_user(principal, request.csr_der, valid_from)
        digest = tokens.keys_digest(certificate.public_key)
        spent = tokens.spent_by_user(token, bearer, principal, digest, self.clock.now())
        if spent is not token:
            party = await party_of(self.store, token.party)
            parties.require_approved(wire.party_from(party.message))
            await self.store.commit(Update(held, wire.token_to(spent)), guards=[party], author=call.author())
        return pb.EnrolUserResponse(
            party=token.party, user=token.user, certificate_pem=certificate.pem, ca_pem=self.certifier.ca_pem
        )

    async def _shown(self, text: str) -> tuple[Held[JoinTokenRecord], tokens.ShownToken, tokens.JoinToken]:
        """A token that is shown, and what is kept of it. Raises Unauthenticated (`JOIN_TOKEN_INVALID`)."""
        bearer = tokens.shown(text)
        held = await self.store.get(JOIN_TOKENS, bearer.name)
        if held is None:
            raise tokens.invalid()
        return held, bearer, wire.token_from(held.message)

    async def enrol(self, request: pb.EnrolSiteRequest, call: Call) -> pb.EnrolSiteResponse:
        """The site as recorded, with its agent's certificate.

        Raises Unauthenticated (`JOIN_TOKEN_INVALID`), InvalidArgument (`FIELD_INVALID`, `CSR_INVALID`), AlreadyExists
        (`SITE_EXISTS`), FailedPrecondition (`PARTY_NOT_APPROVED`), ResourceExhausted (`SITES_TOO_MANY`).
        """
        held, bearer, token = await self._shown(request.token)
        now = self.clock.now()
        agent = agent_id(self.node, request.site_id)
        named = key_id(agent, request.signing_key)
        key = signing_keys.fresh(named, request.signing_key, now, self.signing_key_days)
        site = sites.enrolled(request.site_id, wire.site_from(request.site), token.party, agent, key, now)
        valid_from = await self.revoking.valid_by(held, agent_path(site.name))
        certificate = self.certifier.of_agent(site.name, request.csr_der, valid_from)
        digest = tokens.keys_digest(certificate.public_key, key.public_key)
        spent = tokens.spent_by_site(token, bearer, site.name, digest, now)
        enrolled = await (
            site_of(self.store, site.name) if spent is token else self._enrolled(held, spent, site, certificate, call)
        )
        return pb.EnrolSiteResponse(
            site=wire.shown(enrolled), certificate_pem=certificate.pem, ca_pem=self.certifier.ca_pem
        )

    async def _issued(self, asked: tokens.JoinToken, party: Held[party_pb2.Party], call: Call) -> tokens.JoinToken:
        """What is kept of a token, issued now or when the same was asked before; a memo of the answer would tell it."""
        standing = await self.store.get(JOIN_TOKENS, asked.name)
        if standing is not None:
            return tokens.issued_before(wire.token_from(standing.message), asked)
        require_tokens(party.name, self.mirrors.join_tokens_of[party.name] + 1, self.caps)
        ttl_s = (asked.expire_time - self.clock.now()).total_seconds()
        lease = await self.store.open_lease(ttl_s + TOKEN_MEMORY_S)
        creation = Create(JOIN_TOKENS, asked.name, wire.token_to(asked), lease.id)
        try:
            committed = await self.store.commit(creation, guards=[party], author=call.author())
        except Conflict as conflict:
            if JOIN_TOKENS.key(asked.name) not in conflict.keys:
                raise
            return await self._issued(asked, party, call)  # the same was asked twice at once
        await self.mirrors.join_tokens.wait_for(committed.revision)  # so that the next one is counted beside it
        return asked

    async def _enrolled(
        self,
        held: Held[JoinTokenRecord],
        spent: tokens.JoinToken,
        site: sites.Site,
        certificate: SignedCertificate,
        call: Call,
    ) -> Held[site_pb2.Site]:
        party = await party_of(self.store, spent.party)
        parties.require_approved(wire.party_from(party.message))
        change = await self._rejoined(site) if spent.site else self._joined(site)
        wire.put_certificate(change.message, certificate.begin, certificate.end)
        changes = (Update(held, wire.token_to(spent)), change)
        try:
            committed = await self.store.commit(*changes, guards=[party], author=call.author())
        except Conflict as conflict:
            if SITES.key(site.name) in conflict.keys and not spent.site:
                raise AlreadyExists("SITE_EXISTS", f"{site.name} is enrolled already", name=site.name) from conflict
            raise
        await self.mirrors.sites.wait_for(committed.revision)
        return committed.held[1]

    def _joined(self, site: sites.Site) -> Create[site_pb2.Site]:
        fresh = self.mirrors.sites.get(site.name) is None
        require_sites(site.party, self.mirrors.sites_of[site.party] + fresh, self.caps)
        return Create(SITES, site.name, wire.site_to(site))

    async def _rejoined(self, site: sites.Site) -> Update[site_pb2.Site]:
        """The site as it stands, whose agent signs with another key from now on unless it has kept its own."""
        held = await self._require_rejoins(site.name, site.party)
        message = held.draft()
        before = tuple(map(window_from, message.signing_keys))
        keys = signing_keys.rotated(before, site.signing_keys[0], site.create_time)
        del message.signing_keys[:]
        message.signing_keys.extend(map(window_to, keys))
        return Update(held, message)

    async def _require_rejoins(self, name: str, party: str) -> Held[site_pb2.Site]:
        held = await site_of(self.store, checked_name(name, "sites", field="site"))
        require_there(held.name, wire.admission_from(held.message))
        if held.message.party != party:
            raise InvalidArgument("FIELD_INVALID", f"site: {held.name} is not one of {party}", field="site")
        return held
