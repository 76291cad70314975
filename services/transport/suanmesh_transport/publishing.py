"""Publishing datasets: what agents say lies at their sites, many at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1 import dataset_pb2
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import InvalidArgument, PermissionDenied, Refusal
from suanmesh_store import Author, Held, Store
from suanmesh_store.layout import PARTIES, PLACEMENTS, SITES
from suanmesh_store.records import Record
from suanmesh_transport import wire
from suanmesh_transport.dataset_records import DatasetRecords
from suanmesh_transport.domain import datasets
from suanmesh_transport.domain.caps import Caps, require_datasets
from suanmesh_transport.domain.datasets import Dataset
from suanmesh_transport.domain.transfers import Place
from suanmesh_transport.mirrors import Kept
from suanmesh_transport.tickets import TicketOffice

Published = dataset_pb2.Dataset | Refusal
"""What became of one item."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A dataset with its replica, as a site gives it, and the placement that made it; empty for none."""

    dataset: Dataset
    placement: str
    upload: Signed | None = None
    """The ticket it was brought with, which stands for its owner's consent."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What decides who may publish."""

    place: Place | None
    parties: Mapping[str, Held[Party]]
    """Owners of what no placement has made."""
    makers: Mapping[str, Placement]
    versions: Mapping[str, int]
    """The highest version there has been of datasets that have been removed."""


class Publishing:
    """Takes in what is published."""

    def __init__(
        self,
        store: Store,
        kept: Kept,
        records: DatasetRecords,
        office: TicketOffice,
        clock: Clock,
        caps: Caps,
        writing: asyncio.Lock,
    ) -> None:
        """`writing` orders all writes of datasets in this process."""
        self._office = office
        self._store = store
        self._kept = kept
        self._records = records
        self._clock = clock
        self._caps = caps
        self._writing = writing

    async def publish(self, asked: Sequence[Publication | Refusal], site: str, author: Author) -> list[Published]:
        """Keep datasets whose replicas are complete at `site`, or add the replicas to those that stand, all together.

        Each item is answered by itself: with the dataset, or with AlreadyExists (`DATASET_EXISTS`), InvalidArgument
        (`FIELD_INVALID`), PermissionDenied (`NOT_OWNER`), FailedPrecondition (`RESIDENCY_DENIED`), ResourceExhausted
        (`DATASETS_TOO_MANY`). Raises Conflict where an owner's consent changes meanwhile.
        """
        sound = [each for each in asked if isinstance(each, Publication)]
        async with self._writing:
            records = await self._records.get_many({each.dataset.name for each in sound})
            facts, had = await self._facts(sound, site), await self._counted(sound)
            before = {name: wire.dataset_from(record.message) for name, record in records.items()}
            after, outcomes = self._decided(asked, before, facts, had, site)
            accepted = {outcome.name for outcome in outcomes if not isinstance(outcome, Refusal)}
            own = {each.dataset.party for each in sound if not each.placement and each.dataset.name in accepted}
            if own:
                await self._store.commit(guards=[facts.parties[party] for party in sorted(own)])
            changed = [dataset for name, dataset in after.items() if dataset != before.get(name)]
            seen = [*before.values(), *(each for each in outcomes if not isinstance(each, Refusal))]
            versions = {each.pinned: each for each in seen}
            earlier = [each for each in versions.values() if each.version < after[each.name].version]
            kept = records | await self._records.keep(changed, records, author, earlier=earlier)
            return [each if isinstance(each, Refusal) else self._answer(each, kept[each.name]) for each in outcomes]

    def _answer(self, dataset: Dataset, newest: Record[dataset_pb2.Dataset]) -> dataset_pb2.Dataset:
        """As it is shown, though another item has taken its place as the newest already."""
        shown = self._records.shown(newest)
        return shown if shown.version == dataset.version else wire.dataset_to(dataset)

    def _decided(
        self,
        asked: Sequence[Publication | Refusal],
        before: Mapping[str, Dataset],
        facts: _Facts,
        had: Counter[str],
        site: str,
    ) -> tuple[dict[str, Dataset], list[Dataset | Refusal]]:
        """The newest versions by name as they become, and of each item its version or why it is refused; each sees the
        last.
        """
        after = dict(before)
        outcomes: list[Dataset | Refusal] = []
        for item in asked:
            if isinstance(item, Refusal):
                outcomes.append(item)
                continue
            name, standing = item.dataset.name, after.get(item.dataset.name)
            try:
                after[name] = self._become(item, standing, facts, had, site)
            except Refusal as refusal:
                outcomes.append(refusal)
            else:
                is_new = standing is None or standing.version != after[name].version
                had[item.dataset.party] += is_new and not item.placement
                outcomes.append(after[name])
        return after, outcomes

    def _become(
        self, item: Publication, standing: Dataset | None, facts: _Facts, had: Counter[str], site: str
    ) -> Dataset:
        fresh = item.dataset
        if standing is not None and standing.complete_at(site) and standing.is_the_same_as(fresh):
            return standing  # asked for again
        if item.placement:
            _require_made(fresh, item.placement, facts.makers.get(item.placement), site)
        else:
            if item.upload is None:
                _require_consent(fresh, standing, site, facts)
            else:
                self._office.require_upload(item.upload, fresh, site)
            if standing is None or not standing.is_the_same_as(fresh):  # what a job has made is bounded with the jobs
                require_datasets(fresh.party, had[fresh.party], self._caps)
        if standing is None:
            dataset = datasets.numbered(fresh, facts.versions.get(fresh.name, 0) + 1)
        else:
            now = self._clock.now()
            dataset = datasets.republished(standing, fresh, now, by_placement=bool(item.placement))
        datasets.require_residency(dataset, site, () if facts.place is None else facts.place.residency)
        return dataset

    async def _facts(self, asked: Sequence[Publication], site: str) -> _Facts:
        """Whose consent counts is read anew; who made what never changes, and is seen in the mirror as a rule."""
        makers = {each.placement: self._kept.placements.get(each.placement) for each in asked if each.placement}
        unseen = sorted(name for name, held in makers.items() if held is None)
        owners = sorted({each.dataset.party for each in asked if not each.placement})
        there = self._kept.sites.get(site)
        parties: list[Held[Party] | None] = []
        if owners or unseen or there is None:
            *found, there = await self._store.get_each(
                *((PARTIES, name) for name in owners), *((PLACEMENTS, name) for name in unseen), (SITES, site)
            )
            parties = found[: len(owners)]
            makers |= zip(unseen, found[len(owners) :], strict=True)
        return _Facts(
            None if there is None else wire.place_from(there.message),
            {held.name: held for held in parties if held is not None},
            {name: held.message for name, held in makers.items() if held is not None},
            await self._records.versions_before({each.dataset.name for each in asked}),
        )

    async def _counted(self, asked: Sequence[Publication]) -> Counter[str]:
        """How many datasets each party has that publishes something no placement has made."""
        parties = {each.dataset.party for each in asked if not each.placement}
        return Counter({party: await self._records.count(party, self._caps.party_datasets) for party in parties})


def _require_made(fresh: Dataset, placement: str, maker: Placement | None, site: str) -> None:
    """A site publishes what a placement at it makes. Raises PermissionDenied (`NOT_OWNER`)."""
    if maker is None or (maker.site, maker.party) != (site, fresh.party):
        raise PermissionDenied("NOT_OWNER", f"{placement} is not one of {site} for {fresh.party}", name=placement)
    if fresh.name not in wire.datasets_made(maker):
        raise PermissionDenied("NOT_OWNER", f"{placement} does not make {fresh.name}", name=placement)


def _require_consent(fresh: Dataset, standing: Dataset | None, site: str, facts: _Facts) -> None:
    """Otherwise it publishes what its owner lets it publish.

    Raises PermissionDenied (`NOT_OWNER`), InvalidArgument (`FIELD_INVALID`).
    """
    party = facts.parties.get(fresh.party)
    if party is None:
        problem = f"dataset.party: there is no {fresh.party}"
        raise InvalidArgument("FIELD_INVALID", problem, field="dataset.party")
    site_party = "" if facts.place is None else facts.place.party
    datasets.require_publisher(fresh, standing, site, site_party=site_party, publishers=party.message.publishers)
