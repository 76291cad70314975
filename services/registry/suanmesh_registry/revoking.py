"""Identities that are revoked: users, agents of sites, and every user of a party that is suspended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1.join_token_pb2 import JoinTokenRecord
from suanmesh.registry.v1.revocation_pb2 import Revocation
from suanmesh_chassis import Call
from suanmesh_chassis.identity import OPERATOR_PARTY
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import last
from suanmesh_kernel.revocations import is_over, revoked_at
from suanmesh_registry.domain import tokens
from suanmesh_registry.domain.admission import require_owner
from suanmesh_registry.domain.revoked import Subject, subject_of
from suanmesh_registry.mirrors import Mirrors
from suanmesh_registry.reads import party_of, site_of
from suanmesh_sdk.values import timestamp
from suanmesh_store import Change, Create, Delete, Held, Store, Update
from suanmesh_store.layout import REVOCATIONS

SWEPT_MAX = 50
"""Revocations that are over and removed with one that is made."""


@dataclass(frozen=True, slots=True)
class Revoking:
    """Records who is refused from now on, and whom no more."""

    store: Store
    mirrors: Mirrors
    clock: Clock

    async def revoke(self, request: pb.RevokeCertificatesRequest, call: Call) -> Revocation:
        """Refuse every certificate that was issued to a user or an agent until now.

        Raises InvalidArgument (`NAME_INVALID`), NotFound (`PARTY_UNKNOWN`, `SITE_UNKNOWN`), PermissionDenied
        (`NOT_OWNER`), Conflict.
        """
        subject = subject_of(request.name)
        await self._require_owned(subject, call)
        answer, changes = await self.revoked(subject.path)
        committed = await self.store.commit(*changes, remember=call.idempotency(answer), author=call.author())
        await self.mirrors.revocations.wait_for(committed.revision)  # so that whoever looks next finds it so
        return answer

    async def revoked(self, path: str) -> tuple[Revocation, list[Change]]:
        """The revocation of the identity at `path` as of now, and what records it; with it goes what is over."""
        now, held = self.clock.now(), await self.store.get(REVOCATIONS, path)
        before = None if held is None else held.message.valid_from.ToDatetime(UTC)
        made = Revocation(name=path, valid_from=timestamp(revoked_at(now, before)))
        over = [
            each
            for each in self.mirrors.revocations.values()
            if is_over(each.message.valid_from.ToDatetime(UTC), now) and each.name != path and each.name.count("/") > 1
        ]
        recorded = Create(REVOCATIONS, path, made) if held is None else Update(held, made)
        return made, [recorded, *map(Delete, over[:SWEPT_MAX])]

    async def party_changes(self, party: str, *, suspended: bool) -> list[Change]:
        """What records that the users of a party are refused while it is suspended; the operator's never are."""
        path = f"party/{last(party)}"
        held = await self.store.get(REVOCATIONS, path)
        if suspended and held is None and party != OPERATOR_PARTY:
            made = Revocation(name=path, valid_from=timestamp(self.clock.now()))
            return [Create(REVOCATIONS, path, made)]
        return [Delete(held)] if held is not None and not suspended else []

    async def valid_from(self, path: str) -> datetime | None:
        """From when certificates of an identity are good; None where they always were."""
        held = await self.store.get(REVOCATIONS, path)
        return None if held is None else held.message.valid_from.ToDatetime(UTC)

    async def valid_by(self, token: Held[JoinTokenRecord], path: str) -> datetime | None:
        """The same, for whoever joins as that identity by a token that is for it, or was spent by it.

        Raises Unauthenticated (`JOIN_TOKEN_INVALID`) where it was revoked since: an invite that was kept would let in
        again whoever was revoked.
        """
        held = await self.store.get(REVOCATIONS, path)
        if held is None:
            return None
        bound = token.message.user or token.message.site or token.message.spent_on
        if bound and held.mod_revision > token.mod_revision:
            raise tokens.invalid()
        return held.message.valid_from.ToDatetime(UTC)

    async def _require_owned(self, subject: Subject, call: Call) -> None:
        operator = call.is_("operator")
        if subject.site:
            held = await site_of(self.store, subject.site)
            require_owner(held.name, held.message.party, call.party, operator=operator)
        else:
            require_owner(subject.party, subject.party, call.party, operator=operator)
            await party_of(self.store, subject.party)
