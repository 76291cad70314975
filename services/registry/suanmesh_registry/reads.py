"""What any instance of the registry answers: from etcd what is asked for by name, from the mirrors what is watched."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from suanmesh.registry.v1 import party_pb2, pool_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh_chassis import Call
from suanmesh_kernel import pages
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.refusals import NotFound
from suanmesh_registry import wire
from suanmesh_registry.domain import parties
from suanmesh_registry.domain.admission import require_there
from suanmesh_registry.mirrors import Mirrors
from suanmesh_registry.watch import watched
from suanmesh_store import Held, Kind, Store
from suanmesh_store.layout import PARTIES, POOLS, SITES, M


class RegistryReads:
    """The calls that change nothing and need no report of an agent."""

    def __init__(self, store: Store, mirrors: Mirrors) -> None:
        self._store = store
        self._mirrors = mirrors

    async def GetParty(self, request: pb.GetPartyRequest, call: Call) -> party_pb2.Party:
        name = checked_name(request.name, "parties")
        parties.require_visible(name, call.party, sees_all=call.is_("operator") or call.is_("service"))
        return wire.shown(await party_of(self._store, name))

    async def ListParties(self, request: pb.ListPartiesRequest, call: Call) -> pb.ListPartiesResponse:
        page, token = await self._page(PARTIES, request.page_size, request.page_token)
        return pb.ListPartiesResponse(parties=[wire.shown(held) for held in page], next_page_token=token)

    async def GetSite(self, request: pb.GetSiteRequest, call: Call) -> site_pb2.Site:
        return wire.shown(await site_of(self._store, checked_name(request.name, "sites")))

    async def ListSites(self, request: pb.ListSitesRequest, call: Call) -> pb.ListSitesResponse:
        page, token = await self._page(SITES, request.page_size, request.page_token)
        return pb.ListSitesResponse(sites=[wire.shown(held) for held in page], next_page_token=token)

    async def GetPool(self, request: pb.GetPoolRequest, call: Call) -> pool_pb2.Pool:
        name = checked_name(request.name, "sites", "pools")
        held = await self._store.get(POOLS, name)
        if held is None:
            raise NotFound("POOL_UNKNOWN", f"there is no pool {name}", name=name)
        return wire.shown(held)

    async def WatchPools(
        self, request: pb.WatchPoolsRequest, call: Call
    ) -> AsyncGenerator[pb.WatchPoolsResponse, None]:
        async with aclosing(watched(self._mirrors.sites, self._mirrors.pools, request.resume_token)) as batches:
            async for batch in batches:
                yield batch

    async def _page(self, kind: Kind[M], page_size: int, page_token: str) -> tuple[list[Held[M]], str]:
        size, after = pages.checked_size(page_size), pages.after(page_token, kind.collection)
        async with aclosing(self._store.scan(kind, after=after, limit=size + 1)) as scanned:
            held = {each.name: each async for each in scanned}
        names, token = pages.cut(held, size, kind.collection)
        return [held[name] for name in names], token


async def party_of(store: Store, name: str) -> Held[party_pb2.Party]:
    """A party as it is recorded now. Raises NotFound (`PARTY_UNKNOWN`)."""
    held = await store.get(PARTIES, name)
    if held is None:
        raise parties.unknown(name)
    return held


async def site_of(store: Store, name: str) -> Held[site_pb2.Site]:
    """A site as it is recorded now. Raises NotFound (`SITE_UNKNOWN`)."""
    held = await store.get(SITES, name)
    if held is None:
        raise NotFound("SITE_UNKNOWN", f"there is no site {name}", name=name)
    return held


async def agents_site(store: Store, call: Call) -> Held[site_pb2.Site]:
    """The site of the agent that calls. Raises NotFound (`SITE_UNKNOWN`), FailedPrecondition (`SITE_REMOVED`)."""
    held = await site_of(store, call.site)
    require_there(held.name, wire.admission_from(held.message))
    return held
