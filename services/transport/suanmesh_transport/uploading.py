"""Where data goes that a user brings, and what its party has there already."""

from __future__ import annotations

from collections.abc import Collection

from suanmesh_kernel.refusals import PermissionDenied
from suanmesh_store import Store
from suanmesh_store.layout import PARTIES
from suanmesh_transport import wire
from suanmesh_transport.dataset_records import DatasetRecords
from suanmesh_transport.domain import datasets
from suanmesh_transport.domain.caps import Caps, require_bytes, require_datasets
from suanmesh_transport.domain.datasets import Dataset
from suanmesh_transport.domain.targets import Leanings, Target, chosen_target, open_to
from suanmesh_transport.domain.transfers import Place
from suanmesh_transport.mirrors import Kept
from suanmesh_transport.ports import Distances

KNOWN_MAX = 16
"""Datasets of a party whose files an upload need not bring again."""


class Uploading:
    """Finds sites for what is brought; it writes nothing."""

    def __init__(self, store: Store, kept: Kept, records: DatasetRecords, distances: Distances, caps: Caps) -> None:
        self._store = store
        self._sites = kept.sites
        self._datasets = records
        self._distances = distances
        self._caps = caps

    async def target(
        self, fresh: Dataset, wanted: str, but: Collection[str]
    ) -> tuple[Dataset, Target, list[str] | None]:
        """The site that is to take `fresh`, with the digests its party has there; None where it lies there already.

        And the version that it becomes there, or is already. Raises PermissionDenied (`NOT_OWNER`), ResourceExhausted
        (`DATASETS_TOO_MANY`, `DATA_TOO_MUCH`), FailedPrecondition (`SITE_NOT_REACHABLE`, `RESIDENCY_DENIED`).
        """
        named = await self._datasets.get(fresh.name)
        standing = None if named is None else wire.dataset_from(named.message)
        if standing is not None and standing.party != fresh.party:
            raise PermissionDenied("NOT_OWNER", f"{fresh.name} is another party's", name=fresh.name)
        if standing is None or standing.digest != fresh.digest:
            await self._require_room(fresh)
        if standing is not None:
            fresh = standing if standing.digest == fresh.digest else datasets.next_version(standing, fresh)
        places = [wire.place_from(held.message) for held in self._sites.values()]
        at = () if standing is None or standing != fresh else standing.complete_sites
        leanings = Leanings() if wanted else await self._leanings(fresh, places, but)
        target = chosen_target(fresh, places, wanted=wanted, but=but, rather=at, leanings=leanings)
        place = target.place
        datasets.require_residency(fresh, place.site, place.residency)
        if place.site in at:
            return fresh, target, None
        return fresh, target, await self._datasets.digests_at(fresh.party, place.site, KNOWN_MAX)

    async def _leanings(self, fresh: Dataset, places: Collection[Place], but: Collection[str]) -> Leanings:
        """Distances are asked for only where they decide: between sites that are neither default nor its own."""
        party = await self._store.get(PARTIES, fresh.party)
        default = "" if party is None else party.message.default_site
        homes = frozenset(await self._datasets.homes(fresh.party))
        open_ones = open_to(fresh, places, but=but)
        decided = any(place.site == default or place.party == fresh.party for place in open_ones)
        if decided or not homes or len(open_ones) == 1:
            return Leanings(default, homes)
        found = await self._distances.latencies_us(sorted(homes), [place.site for place in open_ones])
        return Leanings(default, homes, found)

    async def _require_room(self, fresh: Dataset) -> None:
        """Raise ResourceExhausted (`DATASETS_TOO_MANY`, `DATA_TOO_MUCH`) where its party may have no more."""
        caps, party, size = self._caps, fresh.party, fresh.size_bytes
        require_datasets(party, await self._datasets.count(party, caps.party_datasets), caps)
        require_bytes(party, size, caps)
        require_bytes(party, size + await self._datasets.bytes_of(party, caps.party_bytes - size), caps)
