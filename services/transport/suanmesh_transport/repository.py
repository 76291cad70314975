"""What is stored of datasets and transfers, and every write to it.

One lock orders the writes of this process; against any other writer stands the store, which commits only over what was
read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, timedelta

from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh_chassis.archiving import Archiver
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import InvalidArgument, NotFound, PermissionDenied, Refusal, is_final
from suanmesh_store import (
    Answered,
    Author,
    Change,
    Create,
    Held,
    IdempotencyKey,
    IdempotencyRecord,
    Store,
    Update,
)
from suanmesh_store.archive import Archive
from suanmesh_store.layout import PLACEMENTS, SITES, TRANSFERS
from suanmesh_telemetry import current_traceparent, elsewhere, names, span
from suanmesh_transport import wire
from suanmesh_transport.catalog import Catalog
from suanmesh_transport.dataset_records import ENDED_TRANSFERS, DatasetRecords
from suanmesh_transport.domain import datasets, transfers
from suanmesh_transport.domain.caps import Caps, require_transfers
from suanmesh_transport.domain.datasets import Dataset
from suanmesh_transport.domain.transfers import Ask, Place, Report, Transfer
from suanmesh_transport.mirrors import Kept
from suanmesh_transport.publishing import Publishing
from suanmesh_transport.tickets import TicketOffice

AREA = "transport"
_ENDED_PLACEMENTS = frozenset(
    {
        Placement.STATE_DONE,
        Placement.STATE_FAILED,
        Placement.STATE_REFUSED,
        Placement.STATE_CANCELLED,
        Placement.STATE_PREEMPTED,
        Placement.STATE_EXPIRED,
        Placement.STATE_LOST,
    }
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One item of a batch of transfers: what is wanted, by whom, in which trace."""

    ask: Ask
    party: str
    """Party whose resources the caller sees; empty for those of all."""
    traceparent: str


Outcome = transfer_pb2.Transfer | Refusal


class Repository:
    """Datasets and transfers of this node."""

    def __init__(
        self,
        store: Store,
        kept: Kept,
        datasets: DatasetRecords,
        archive: Archive,
        office: TicketOffice,
        clock: Clock,
        *,
        ticket_lifetime_s: float,
        caps: Caps = Caps(),  # noqa: B008 - a frozen value
    ) -> None:
        self._caps = caps
        self._store = store
        self._archive = archive
        self._archiver = Archiver(ENDED_TRANSFERS, store, archive, clock)
        self._datasets = datasets
        self._kept = kept
        self._transfers = kept.transfers
        self._placements = kept.placements
        self._office = office
        self._clock = clock
        self._ticket_lifetime = timedelta(seconds=ticket_lifetime_s)
        self._writing = asyncio.Lock()
        self._followed: set[str] = set()
        """Transfers that have arrived and whose replicas are surely kept."""

    def over(self, store: Store, fence: int) -> Repository:
        """The same over a store that is fenced by a term, and with the fence of that term for records."""
        other = copy(self)
        other._store, other._writing = store, asyncio.Lock()
        other._datasets, other._archive = self._datasets.led_by(fence), self._archive.led_by(fence)
        other._archiver = Archiver(ENDED_TRANSFERS, store, other._archive, self._clock)
        other._followed = set()
        return other

    async def lookup(self, key: IdempotencyKey) -> Answered | None:
        """What was answered to a request before."""
        return await self._store.lookup(key)

    def publishing(self) -> Publishing:
        """What takes in datasets, in turn with every other write of this process."""
        return Publishing(self._store, self._kept, self._datasets, self._office, self._clock, self._caps, self._writing)

    def catalog(self) -> Catalog:
        """What keeps versions and labels, and removes datasets, in turn with every other write of this process."""
        return Catalog(self._kept, self._datasets, self._writing)

    async def transfers(self, party: str, after: str, most: int) -> dict[str, transfer_pb2.Transfer]:
        """The next transfers by their place, live or archived, of one party or, where that is empty, of all."""
        kept = self._transfers.values()
        live = {wire.place_of(held.message): held.message for held in kept if party in ("", held.message.party)}
        return await self._archive.page(ENDED_TRANSFERS, live, party=party, after=after, most=most)

    async def shown(self, name: str, party: str, site: str = "") -> transfer_pb2.Transfer:
        """One transfer, live or archived.

        Raises NotFound (`TRANSFER_UNKNOWN`) also where it is another party's, or does not concern `site`.
        """
        found = await self._found(name)
        if found is None or party not in ("", found.party) or not self._moves_for(found, site):
            raise _unknown(name)
        return found

    async def dataset(self, name: str, party: str, site: str = "") -> dataset_pb2.Dataset:
        """One dataset, with its etag and the copies that are under way.

        Raises NotFound (`DATASET_UNKNOWN`) also where `party` is another than its owner, or it does not concern `site`.
        """
        record = await self._datasets.get(name)
        if record is None or party not in ("", record.message.party) or not self._lies_for(record.message, site):
            raise NotFound("DATASET_UNKNOWN", f"there is no dataset {name}", name=name)
        return self._datasets.shown(record)

    async def transfer(self, name: str, party: str) -> Held[transfer_pb2.Transfer]:
        """One transfer. Raises NotFound (`TRANSFER_UNKNOWN`) also where `party` is another than its owner."""
        held = await self._store.get(TRANSFERS, name)
        if held is None or party not in ("", held.message.party):
            raise _unknown(name)
        return held

    async def place(self, site: str) -> Place | None:
        """What is known of a site."""
        held = await self._store.get(SITES, site)
        return None if held is None else wire.place_from(held.message)

    async def source_of(self, dataset: Dataset, *, wanted: str = "", other_than: str = "") -> Place:
        """A site to read the dataset from. Raises FailedPrecondition (`NO_REPLICA`, `SITE_NOT_REACHABLE`)."""
        places = {site: place for site in dataset.complete_sites if (place := await self.place(site)) is not None}
        return transfers.chosen_source(dataset, places, wanted=wanted, other_than=other_than)

    async def make(
        self,
        asked: Sequence[Asked | Outcome],
        idempotency: Callable[[list[Outcome]], IdempotencyRecord],
        author: Author,
    ) -> list[Outcome]:
        """Make transfers in one commit; each item is answered by itself, one settled before keeps its outcome."""
        async with self._writing:
            outcomes: list[Outcome] = []
            changes: list[Change] = []
            had = self._own_transfers(asked)
            for item in asked:
                outcome = await self._made(item, outcomes, had + len(changes)) if isinstance(item, Asked) else item
                if isinstance(outcome, Create):
                    changes.append(outcome)
                    outcome = outcome.message
                outcomes.append(outcome)
            if changes or any(map(_is_news, asked, outcomes)):
                await self._store.commit(*changes, remember=idempotency(outcomes), author=author)
            return outcomes

    async def report(self, name: str, report: Report, site: str, author: Author) -> transfer_pb2.Transfer:
        """Take what the target's agent says.

        Raises NotFound (`TRANSFER_UNKNOWN`), PermissionDenied (`NOT_OWNER`), FailedPrecondition
        (`TRANSITION_NOT_ALLOWED`), DataLoss (`DIGEST_MISMATCH`).
        """
        async with self._writing:
            held = await self.transfer(name, "")
            if held.message.target != site:
                raise PermissionDenied("NOT_OWNER", f"{name} goes to {held.message.target}, not to {site}", name=name)
            before = wire.transfer_from(held.message)
            return await self._keep(held, before, transfers.reported(before, report, self._clock.now()), author)

    async def cancel(self, name: str, party: str, reason: StateReason, author: Author) -> transfer_pb2.Transfer:
        """End a transfer; one that has ended, even long ago, stays as it is. Raises NotFound (`TRANSFER_UNKNOWN`)."""
        async with self._writing:
            shown = await self.shown(name, party)
            held = await self._store.get(TRANSFERS, name)
            if held is None:
                return shown
            before = wire.transfer_from(held.message)
            return await self._keep(held, before, transfers.cancelled(before, reason, self._clock.now()), author)

    async def settle(self, name: str) -> None:
        """End a transfer whose placement has ended, or whose source or target is lost."""
        async with self._writing:
            held = await self._store.get(TRANSFERS, name)
            if held is None:
                return
            before = wire.transfer_from(held.message)
            placement_open = not before.placement or await self._is_open(before.placement)
            source, target = await self.place(before.source), await self.place(before.target)
            after = transfers.settled(
                before, placement_open=placement_open, source=source, target=target, now=self._clock.now()
            )
            if after != before:
                with span(names.SETTLE_TRANSFER, parent=held.traceparent, transfer=name, state=after.state.name):
                    await self._keep(held, before, after, None)

    async def follow(self, transfer: transfer_pb2.Transfer) -> None:
        """Keep the replica that an ended transfer has made, if that is not sure yet."""
        if not self.is_over(transfer):
            async with self._writing:
                await self._follow(transfer)

    def is_over(self, transfer: transfer_pb2.Transfer) -> bool:
        """Whether it has ended, and all that follows from that is kept."""
        followed = transfer.state != transfer_pb2.Transfer.STATE_DONE or transfer.name in self._followed
        return transfer.HasField("end_time") and followed

    async def archive(self, retention: timedelta) -> None:
        """Move those that have been over for `retention` to the records, unless their placements wait for others.

        Raises Unavailable.
        """
        before = self._clock.now() - retention
        over = (held for held in self._transfers.values() if self.is_over(held.message))
        old = [held for held in over if held.message.end_time.ToDatetime(UTC) <= before]
        if not old:
            return
        self._followed.intersection_update(self._transfers.names())
        placements = await self._store.get_many(PLACEMENTS, {held.message.placement for held in old} - {""})
        waiting = {name for name, held in placements.items() if held.message.state not in _ENDED_PLACEMENTS}
        await self._archiver.move([held for held in old if held.message.placement not in waiting])

    async def _follow(self, transfer: transfer_pb2.Transfer) -> None:
        """Keep the replica that a transfer has made; the transfer is the fact, and this follows from it, however often.

        Where the process ends in between, the next term looks at every transfer that has ended.
        """
        if transfer.state == transfer_pb2.Transfer.STATE_DONE and transfer.name not in self._followed:
            await self._datasets.add_replica(transfer.dataset, transfer.digest, transfer.target, self._clock.now())
            self._followed.add(transfer.name)

    async def _found(self, name: str) -> transfer_pb2.Transfer | None:
        """A transfer, live or archived."""
        held = await self._store.get(TRANSFERS, name)
        return held.message if held else await self._archive.get(ENDED_TRANSFERS, name)

    def _own_transfers(self, asked: Sequence[Asked | Outcome]) -> int:
        """How many transfers the user who asks has that serve no placement; those that ended count until archived."""
        party = next((item.party for item in asked if isinstance(item, Asked)), "")
        if not party:
            return 0
        kept = (held.message for held in self._transfers.values())
        return sum(each.party == party and not each.placement for each in kept)

    async def _made(self, item: Asked, earlier: Sequence[Outcome], had: int) -> Create[transfer_pb2.Transfer] | Outcome:
        """What becomes of one item; the same id twice in a batch is one transfer."""
        standing = next((o for o in earlier if not isinstance(o, Refusal) and o.name == item.ask.name), None)
        if standing is None:
            standing = await self._found(item.ask.name)
        try:
            if standing is not None:
                return _own(standing, item)
            if item.party:
                require_transfers(item.party, had, self._caps)
            with span(
                names.MAKE_TRANSFER,
                parent=elsewhere(item.traceparent),
                transfer=item.ask.name,
                dataset=item.ask.dataset,
            ):
                return Create(TRANSFERS, item.ask.name, await self._new(item))
        except Refusal as refusal:
            return refusal

    async def _new(self, item: Asked) -> transfer_pb2.Transfer:
        ask, now = item.ask, self._clock.now()
        dataset = wire.dataset_from(await self.dataset(ask.dataset, item.party))
        target = await self.place(ask.target)
        if target is None:
            raise InvalidArgument("FIELD_INVALID", f"target: there is no site {ask.target}", field="target")
        party = item.party or await self._party_of(ask.placement) or dataset.party
        if dataset.complete_at(ask.target):
            return wire.transfer_to(transfers.arrived_before(ask, dataset, party, now), None, current_traceparent())
        datasets.require_residency(dataset, ask.target, target.residency)
        source = await self.source_of(dataset, wanted=ask.source, other_than=ask.target)
        transfer = transfers.made(ask, dataset, source, party, now)
        ticket = self._office.for_transfer(transfer, target.agent, now + self._ticket_lifetime)
        return wire.transfer_to(transfer, ticket, current_traceparent())

    async def _keep(
        self, held: Held[transfer_pb2.Transfer], before: Transfer, after: Transfer, author: Author | None
    ) -> transfer_pb2.Transfer:
        """Store what a transfer became, and what that means for the replica at its target."""
        if after == before:
            await self._follow(held.message)
            return held.message
        message = wire.transfer_to(after, held.message.ticket, held.message.traceparent)
        await self._store.commit(Update(held, message), author=author)
        await self._follow(message)
        return message

    def _lies_for(self, dataset: dataset_pb2.Dataset, site: str) -> bool:
        """Whether a dataset lies at a site, moves from or to it, or is read or made there; true where none is named."""
        if not site or any(replica.site == site for replica in dataset.replicas):
            return True
        pinned = wire.dataset_from(dataset).pinned
        here = (held.message for held in self._placements.values() if held.message.site == site)
        if any(pinned in wire.datasets_read(each) or dataset.name in wire.datasets_made(each) for each in here):
            return True
        moving = (held.message for held in self._transfers.values() if held.message.dataset == pinned)
        return any(site in (each.source, each.target) for each in moving)

    def _moves_for(self, transfer: transfer_pb2.Transfer, site: str) -> bool:
        """Whether a transfer goes from or to a site, or serves a placement there; true where none is named."""
        if site in ("", transfer.source, transfer.target):
            return True
        held = self._placements.get(transfer.placement)
        return held is not None and held.message.site == site

    async def _party_of(self, placement: str) -> str:
        held = await self._store.get(PLACEMENTS, placement) if placement else None
        return "" if held is None else held.message.party

    async def _is_open(self, placement: str) -> bool:
        held = await self._store.get(PLACEMENTS, placement)
        return held is not None and held.message.state not in _ENDED_PLACEMENTS


def _unknown(name: str) -> NotFound:
    return NotFound("TRANSFER_UNKNOWN", f"there is no transfer {name}", name=name)


def _own(standing: transfer_pb2.Transfer, item: Asked) -> transfer_pb2.Transfer:
    if item.party not in ("", standing.party):
        raise PermissionDenied("NOT_OWNER", f"{standing.name} is another party's", name=standing.name)
    return standing


def _is_news(item: Asked | Outcome, outcome: Outcome) -> bool:
    """Whether this call has settled the item, so that its outcome is to be remembered."""
    return isinstance(item, Asked) and (not isinstance(outcome, Refusal) or is_final(outcome.code))
