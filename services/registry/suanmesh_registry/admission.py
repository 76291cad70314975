"""Sites that are opened, cordoned, drained and removed."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1 import site_pb2
from suanmesh_chassis import Call
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.refusals import Aborted
from suanmesh_registry import wire
from suanmesh_registry.domain import admission as rules
from suanmesh_registry.domain.admission import Admission
from suanmesh_registry.domain.revoked import agent_path
from suanmesh_registry.mirrors import Mirrors
from suanmesh_registry.reads import site_of
from suanmesh_registry.revoking import Revoking
from suanmesh_sdk.values import timestamp
from suanmesh_store import Change, Delete, Held, Store, Update
from suanmesh_store.layout import PLACEMENTS


@dataclass(frozen=True, slots=True)
class SiteAdmission:
    """Records what owners say of their sites."""

    store: Store
    mirrors: Mirrors
    clock: Clock
    revoking: Revoking

    async def set(self, request: pb.SetSiteAdmissionRequest, call: Call) -> Held[site_pb2.Site]:
        """The site with the admission asked for.

        Raises InvalidArgument (`FIELD_INVALID`), NotFound (`SITE_UNKNOWN`), PermissionDenied (`NOT_OWNER`),
        FailedPrecondition (`SITE_REMOVED`), Aborted (`ETAG_STALE`), Conflict.
        """
        asked = rules.checked_admission(wire.admission_of(request.admission), request.note)
        held = await self._own(request.name, call)
        rules.require_there(held.name, wire.admission_from(held.message))
        if (wire.admission_from(held.message), held.message.admission_note) == (asked, request.note):
            return held
        if request.etag not in ("", held.etag):
            raise Aborted("ETAG_STALE", f"{held.name} has changed since it was read", name=held.name, etag=held.etag)
        return await self._committed(held, asked, request.note, call)

    async def remove(self, name: str, call: Call) -> Held[site_pb2.Site]:
        """The site once it has left for good.

        Raises NotFound (`SITE_UNKNOWN`), PermissionDenied (`NOT_OWNER`), FailedPrecondition (`SITE_IN_USE`), Conflict.
        """
        held = await self._own(name, call)
        stands = wire.admission_from(held.message)
        if stands is Admission.REMOVED:
            return held
        rules.require_removable(held.name, stands, 0)
        rules.require_removable(held.name, stands, await self._living(held.name))
        pools = [Delete(pool) for pool in self.mirrors.pools_of[held.name].values()]
        _, revoked = await self.revoking.revoked(agent_path(held.name))
        return await self._committed(held, Admission.REMOVED, held.message.admission_note, call, *pools, *revoked)

    async def _own(self, name: str, call: Call) -> Held[site_pb2.Site]:
        held = await site_of(self.store, checked_name(name, "sites"))
        rules.require_owner(held.name, held.message.party, call.party, operator=call.is_("operator"))
        return held

    async def _living(self, site: str) -> int:
        """How many placements have not ended there."""
        living = 0
        async with aclosing(self.store.scan(PLACEMENTS)) as placements:
            async for each in placements:
                living += each.message.site == site and not each.message.HasField("end_time")
        return living

    async def _committed(
        self, held: Held[site_pb2.Site], admission: Admission, note: str, call: Call, *more: Change
    ) -> Held[site_pb2.Site]:
        site = held.draft()
        site.admission, site.admission_note = wire.admission_to(admission), note
        site.admission_time.CopyFrom(timestamp(self.clock.now()))
        committed = await self.store.commit(Update(held, site), *more, author=call.author())
        await self.mirrors.sites.wait_for(committed.revision)  # so that whoever searches next finds it so
        stored: Held[site_pb2.Site] = committed.held[0]
        return stored
