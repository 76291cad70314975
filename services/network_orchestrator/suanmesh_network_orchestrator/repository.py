"""What is stored of links and reservations, and every write to it.

One lock orders the writes of this process; against any other writer stands the store: a reservation is committed over
the revision of the booking of every link on its path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, timedelta

from suanmesh.network_orchestrator.v1.booking_pb2 import LinkBooking
from suanmesh.network_orchestrator.v1.link_pb2 import Link as LinkMessage
from suanmesh.network_orchestrator.v1.reservation_pb2 import Reservation as ReservationMessage
from suanmesh_chassis.archiving import Archiver
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import last
from suanmesh_kernel.refusals import Aborted, FailedPrecondition, InvalidArgument, NotFound, Refusal
from suanmesh_network_orchestrator import wire
from suanmesh_network_orchestrator.domain import declaration, reservations
from suanmesh_network_orchestrator.domain.paths import NoPath, find_path
from suanmesh_network_orchestrator.domain.probes import Probe, Probes
from suanmesh_network_orchestrator.domain.reservations import Ask, Reservation, State, Use, index_of
from suanmesh_network_orchestrator.domain.topology import Link, Topology, topology
from suanmesh_store import Author, Change, Conflict, Create, Delete, Held, Holds, Mirror, Store, Update
from suanmesh_store.archive import Archive, listed
from suanmesh_store.layout import BOOKINGS, LINKS, RESERVATIONS
from suanmesh_telemetry import names, span
from suanmesh_telemetry.readings import Reading

AREA = "network_orchestrator"
ENDED_RESERVATIONS = listed("reservations", ReservationMessage, wire.place_of)
KINDS = (ENDED_RESERVATIONS,)
SECOND_US = 1_000_000
BOOKING_TRIES = 5
"""How often a hold is tried when bookings change under it."""


class Repository:
    """Links, bookings and reservations of this node."""

    def __init__(
        self,
        store: Store,
        links: Mirror[LinkMessage],
        bookings: Mirror[LinkBooking],
        kept: Mirror[ReservationMessage],
        archive: Archive,
        probes: Probes,
        clock: Clock,
    ) -> None:
        self._store = store
        self._holds = Holds(store)
        self._archive = archive
        self._archiver = Archiver(ENDED_RESERVATIONS, store, archive, clock)
        self._links = links
        self._bookings = bookings
        self._kept = kept
        self._probes = probes
        self._clock = clock
        self._writing = asyncio.Lock()
        self._read_links: tuple[int, list[Link]] = (-1, [])

    @property
    def revision(self) -> int:
        """Revision of the topology that paths are found in."""
        return max(self._links.revision, self._bookings.revision)

    def topology(self) -> Topology:
        """The topology as the mirrors show it; holds are made over fresh reads."""
        return self._topology({held.name: held.message.reserved_bps for held in self._bookings.values()})

    def links(self) -> list[LinkMessage]:
        """All links by name, with their state."""
        return [self._shown(held) for held in self._links.values()]

    def readings(self) -> Iterator[Reading]:
        """What Prometheus is shown: what each link can carry, what of it is held, how long a round trip takes."""
        for link in self.links():
            label = (last(link.name),)
            yield Reading(names.LINK_CAPACITY, link.capacity_bps, label)
            yield Reading(names.LINK_RESERVED, link.state.reserved_bps, label)
            if link.state.HasField("probed_rtt_us"):
                yield Reading(names.LINK_ROUND_TRIP, link.state.probed_rtt_us / SECOND_US, label)

    def link(self, name: str) -> LinkMessage:
        """One link with its state. Raises NotFound (`LINK_UNKNOWN`)."""
        held = self._links.get(name)
        if held is None:
            raise NotFound("LINK_UNKNOWN", f"there is no link {name}", name=name)
        return self._shown(held)

    async def remove_link(self, name: str, etag: str, author: Author) -> None:
        """Forget a link, unless it is gone already.

        Raises FailedPrecondition (`LINK_IN_USE`), Aborted (`CONFLICT`).
        """
        async with self._writing:
            held = await self._store.get(LINKS, name)
            if held is None:
                return
            if etag and etag != held.etag:
                raise _etag_stale(name)
            booking = await self._store.get(BOOKINGS, name)
            declaration.require_unused(name, booking.message.reserved_bps if booking else 0)
            gone = [Delete(held), *([Delete(booking)] if booking else [])]
            committed = await self._store.commit(*gone, author=author)
            await self._links.wait_for(committed.revision)

    async def reservation(self, name: str) -> ReservationMessage | None:
        """One reservation, live or archived; None where there is none."""
        held = await self._store.get(RESERVATIONS, name)
        return held.message if held else await self._archive.get(ENDED_RESERVATIONS, name)

    async def reservations(self, party: str, after: str, most: int) -> dict[str, ReservationMessage]:
        """The next reservations by their place, live or archived, of one party or, where that is empty, of all."""
        kept = self._kept.values()
        live = {wire.place_of(held.message): held.message for held in kept if party in ("", held.message.party)}
        return await self._archive.page(ENDED_RESERVATIONS, live, party=party, after=after, most=most)

    def take_probes(self, probes: Iterable[Probe]) -> int:
        """Keep what was measured between ends that a link joins; answers how many were."""
        joined = frozenset((held.message.source, held.message.target) for held in self._links.values())
        return self._probes.take(probes, joined)

    async def declare(self, declared: Sequence[LinkMessage], author: Author) -> list[LinkMessage]:
        """Store links whole; one that stands as it is declared is left alone."""
        async with self._writing:
            declaration.require_room(declared[0].name, len({*self._links.names(), *(link.name for link in declared)}))
            changes = [change for link in declared if (change := self._declaration(link)) is not None]
            if changes:
                committed = await self._store.commit(*changes, author=author)
                await self._links.wait_for(committed.revision)
        return [self._shown(held) for link in declared if (held := self._links.get(link.name)) is not None]

    async def reserve(self, ask: Ask, attachment: str, author: Author) -> tuple[Reservation, str]:
        """Hold bandwidth for as long as the attachment stands; answers the reservation and the hold's token.

        Raises ResourceExhausted (`BANDWIDTH_EXHAUSTED`), FailedPrecondition (`NO_PATH`, `HOLD_LAPSED`), Aborted
        (`CONFLICT`), InvalidArgument (`FIELD_INVALID`).
        """
        name = reservations.reservation_name(ask.placement, ask.index)
        async with self._writing:
            held = await self._without_earlier(name, ask, attachment)
            if held is None or reservations.lapsed(wire.reservation_from(held.message)):
                held = await self._book(ask, held, author)
            reservation = wire.reservation_from(held.message)
            if reservation.state is State.RELEASED:
                raise FailedPrecondition("HOLD_LAPSED", f"{name} was given back already", name=name)
            try:
                return reservation, await self._holds.put(ask.placement, ask.index, name.encode(), attachment)
            except (FailedPrecondition, InvalidArgument):
                await self._release(held, reservation)
                raise

    async def settle(self, name: str, use: Use | None) -> Reservation | None:
        """Bring one reservation to where it belongs; answers it if that changed anything, None if not."""
        async with self._writing:
            held = await self._store.get(RESERVATIONS, name)
            if held is None:
                return None
            before = wire.reservation_from(held.message)
            stands = before.state is State.HELD and await self._holds.stands(before.placement, index_of(before))
            after = reservations.settled(before, token_stands=stands, use=use, now=self._clock.now())
            if after == before:
                return None
            with span(names.SETTLE_RESERVATION, parent=held.traceparent, reservation=name, state=after.state.name):
                if after.state is State.RELEASED:
                    await self._store.commit(*await self._releasing(held, after))
                else:
                    await self._store.commit(Update(held, wire.reservation_to(after)))
            return after

    async def drop_token(self, reservation: Reservation) -> None:
        """Delete the hold's key of a reservation that was given back, unless it has been held anew since."""
        async with self._writing:
            held = await self._store.get(RESERVATIONS, reservation.name)
            if held is None or wire.reservation_from(held.message).state is State.RELEASED:
                await self._holds.drop([(reservation.placement, index_of(reservation))])

    async def archive(self, retention: timedelta, held: Collection[str]) -> None:
        """Move those that were given back `retention` ago or earlier to the records, except where they are `held`."""
        before = self._clock.now() - retention
        released = (each for each in self._kept.values() if wire.is_released(each.message) and each.name not in held)
        await self._archiver.move([each for each in released if each.message.release_time.ToDatetime(UTC) <= before])

    async def _without_earlier(self, name: str, ask: Ask, attachment: str) -> Held[ReservationMessage] | None:
        """What stands under the name; an earlier hold, of another round or for another ask, is given back."""
        held = await self._store.get(RESERVATIONS, name)
        reservation = wire.reservation_from(held.message) if held else None
        if held is None or reservation is None or reservation.state is not State.HELD:
            return held
        standing = await self._holds.attachment(ask.placement, ask.index)
        if reservations.answers(reservation, ask) and standing in (None, attachment):
            return held
        await self._holds.drop([(ask.placement, ask.index)])
        await self._release(held, reservation)
        return await self._store.get(RESERVATIONS, name)

    async def _book(
        self, ask: Ask, lapsed: Held[ReservationMessage] | None, author: Author
    ) -> Held[ReservationMessage]:
        for _ in range(BOOKING_TRIES):
            bookings = {held.name: held for held in (await self._store.snapshot(BOOKINGS)).held}
            reserved = {name: held.message.reserved_bps for name, held in bookings.items()}
            found = find_path(self._topology(reserved), ask.query)
            if isinstance(found, NoPath):
                raise reservations.refusal_for(ask, found)
            reservation = reservations.held(ask, found, self._clock.now())
            booked = wire.reservation_to(reservation)
            kept: Change = Update(lapsed, booked) if lapsed else Create(RESERVATIONS, reservation.name, booked)
            changes = [kept, *_bookings(bookings, reservation, ask.rate_bps)]
            with suppress(Conflict):
                committed = await self._store.commit(*changes, guards=self._guards(found.links), author=author)
                return committed.held[0]
        message = f"the links from {ask.source} to {ask.target} change too fast"
        raise Aborted("CONFLICT", message, domain="mesh.suanmesh")

    async def _release(self, held: Held[ReservationMessage], reservation: Reservation) -> None:
        after = reservations.released(reservation, self._clock.now())
        await self._store.commit(*await self._releasing(held, after))

    async def _releasing(self, held: Held[ReservationMessage], after: Reservation) -> list[Change]:
        bookings: dict[str, Held[LinkBooking]] = {}
        for link in after.path.links:
            booking = await self._store.get(BOOKINGS, link)
            if booking is not None:
                bookings[link] = booking
        return [Update(held, wire.reservation_to(after)), *_bookings(bookings, after, -after.rate_bps)]

    def _declaration(self, declared: LinkMessage) -> Change | None:
        stored = wire.declared(declared)
        held = self._links.get(declared.name)
        if held is None:
            if declared.etag:
                raise _etag_stale(declared.name)
            return Create(LINKS, declared.name, stored)
        declaration.require_changeable(wire.link_from(held.message), wire.link_from(stored))
        if declared.etag and declared.etag != held.etag:
            raise _etag_stale(declared.name)
        return None if stored == held.message else Update(held, stored)

    def _guards(self, links: Sequence[str]) -> list[Held[LinkMessage]]:
        return [held for name in links if (held := self._links.get(name)) is not None]

    def _topology(self, reserved_bps: dict[str, int]) -> Topology:
        return topology(self._declared(), reserved_bps, self._probes.rtt_us(self._clock.now()))

    def _declared(self) -> list[Link]:
        """The declared links as values, read again only after they have changed."""
        revision, links = self._read_links
        if revision != self._links.revision:
            links = [wire.link_from(held.message) for held in self._links.values()]
            self._read_links = (self._links.revision, links)
        return links

    def _shown(self, held: Held[LinkMessage]) -> LinkMessage:
        booking = self._bookings.get(held.name)
        probe = self._probes.at(held.message.source, held.message.target, self._clock.now())
        return wire.link_to(held.message, held.etag, booking.message.reserved_bps if booking else 0, probe)


def _bookings(before: dict[str, Held[LinkBooking]], reservation: Reservation, change_bps: int) -> list[Change]:
    reserved = {name: held.message.reserved_bps for name, held in before.items()}
    after = reservations.booked(reserved, reservation.path.links, change_bps)
    messages = {link: LinkBooking(link=link, reserved_bps=bps) for link, bps in after.items()}
    return [
        Update(before[link], message) if link in before else Create(BOOKINGS, link, message)
        for link, message in messages.items()
    ]


def _etag_stale(name: str) -> Refusal:
    return Aborted("CONFLICT", f"{name} is not at the etag given; read it again", domain="mesh.suanmesh", name=name)
