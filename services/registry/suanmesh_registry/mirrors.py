"""What the registry keeps of its documents in memory: one mirror a kind, and the counts and groups they feed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from suanmesh.registry.v1 import party_pb2, pool_pb2, site_pb2
from suanmesh.registry.v1.join_token_pb2 import JoinTokenRecord
from suanmesh.registry.v1.revocation_pb2 import Revocation
from suanmesh_kernel.names import parent
from suanmesh_store import Groups, Mirror, Store, Tally, open_mirror
from suanmesh_store.layout import JOIN_TOKENS, PARTIES, POOLS, REVOCATIONS, SITES


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Everything registered. Open them with `open_mirrors`, start `run` as a task."""

    parties: Mirror[party_pb2.Party]
    join_tokens: Mirror[JoinTokenRecord]
    sites: Mirror[site_pb2.Site]
    pools: Mirror[pool_pb2.Pool]
    revocations: Mirror[Revocation]
    sites_of: Tally[site_pb2.Site]
    """How many sites a party has."""
    join_tokens_of: Tally[JoinTokenRecord]
    """How many join tokens of a party are remembered."""
    pools_of: Groups[pool_pb2.Pool]
    """The pools of a site."""

    async def run(self) -> None:
        """Follow all changes until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for mirror in (self.parties, self.join_tokens, self.sites, self.pools, self.revocations):
                tasks.create_task(mirror.run())


def _party_there(site: site_pb2.Site) -> str:
    """Whose site it is; nobody's once it has left."""
    return "" if site.admission == site_pb2.Site.ADMISSION_REMOVED else site.party


async def open_mirrors(store: Store) -> Mirrors:
    """Mirrors that are loaded; their `run` is still to be started."""
    parties, tokens = await open_mirror(store, PARTIES), await open_mirror(store, JOIN_TOKENS)
    sites, pools = await open_mirror(store, SITES), await open_mirror(store, POOLS)
    revocations = await open_mirror(store, REVOCATIONS)
    sites_of, tokens_of = sites.counted_by(_party_there), tokens.counted_by(lambda token: token.party)
    pools_of = Groups[pool_pb2.Pool](lambda held: parent(held.name))
    pools.project(pools_of)
    return Mirrors(parties, tokens, sites, pools, revocations, sites_of, tokens_of, pools_of)
