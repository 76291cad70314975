"""Holds of bandwidth from the ask to the release, over the store and behind the real wrapper."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as pb
from suanmesh.network_orchestrator.v1.reservation_pb2 import Reservation
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import Refusal
from suanmesh_network_orchestrator import reconciler
from suanmesh_sdk.status import refusal_of
from suanmesh_store import Create, Holds, KeyspaceError, KeyspaceErrorKind, MemoryKeyspace, Update, attachment_of
from suanmesh_store.keyspace import Listing
from suanmesh_store.layout import HOLDS, RESERVATIONS, TRANSFERS

HELD, COMMITTED, RELEASED = Reservation.STATE_HELD, Reservation.STATE_COMMITTED, Reservation.STATE_RELEASED


async def test_a_hold_takes_bandwidth_and_an_obstacle_names_the_full_link(opened: Any, link: Any) -> None:
    """A second job over a full link must hear which link it is, not start and starve."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        lease = await net.store.open_lease(10)
        held = (await net.reserve("p1", 700, attachment_of(lease))).hold
        assert (held.reservation.state, list(held.reservation.path.links)) == (HELD, ["links/ab"])
        assert await net.booked() == {"links/ab": 700}
        assert await Holds(net.store).attachment("placements/p1", 0) == attachment_of(lease)

        refusal = refusal_of((await net.reserve("p2", 301, attachment_of(lease))).error)

        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "BANDWIDTH_EXHAUSTED")
        assert (refusal.facts["link"], refusal.facts["available_bps"]) == ("links/ab", "300")
        assert (await net.reserve("p3", 300, attachment_of(lease))).hold.reservation.name == "reservations/p3-0"


async def test_asking_twice_for_a_hold_is_answered_with_the_one_that_stands(opened: Any, link: Any) -> None:
    """A scheduler that lost the answer must not book the path twice."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        lease = await net.store.open_lease(10)
        first, second = (
            await net.reserve("p1", 700, attachment_of(lease)),
            await net.reserve("p1", 700, attachment_of(lease)),
        )
        assert first == second
        assert await net.booked() == {"links/ab": 700}


async def test_a_hold_of_a_round_that_is_over_gives_way_to_the_next(opened: Any, link: Any) -> None:
    """A scheduler that died between hold and commit must not leave its successor an old rate under the new name."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        over, now = await net.store.open_lease(10), await net.store.open_lease(10)
        old = (await net.reserve("p1", 900, attachment_of(over))).hold
        new = (await net.reserve("p1", 500, attachment_of(now))).hold

        assert (new.reservation.state, new.reservation.rate_bps) == (HELD, 500)
        assert await net.booked() == {"links/ab": 500}
        assert await Holds(net.store).attachment("placements/p1", 0) == attachment_of(now)
        assert new.token != old.token
        await net.commit_placement("p1", new)
        await over.revoke()
        await net.until_reservation("p1", COMMITTED)


async def test_a_hold_evaporates_with_its_lease(opened: Any, link: Any) -> None:
    """A scheduler that died between hold and commit must leave nothing behind."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        async with await net.store.open_lease(10) as lease:
            await net.reserve("p1", 700, attachment_of(lease))
        await net.until_reservation("p1", RELEASED)
        assert await net.booked() == {"links/ab": 0}
        refusal = refusal_of((await net.reserve("p1", 700, attachment_of(lease))).error)
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "HOLD_LAPSED")
        async with await net.store.open_lease(10) as lease:
            anew = (await net.reserve("p1", 600, attachment_of(lease))).hold.reservation
            assert (anew.state, anew.rate_bps, await net.booked()) == (HELD, 600, {"links/ab": 600})


async def test_a_hold_on_a_lease_that_is_gone_books_nothing(opened: Any, link: Any) -> None:
    """A late hold of a round that is over would keep others off the link until somebody looks."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        lease = await net.store.open_lease(10)
        await lease.revoke()
        assert refusal_of((await net.reserve("p1", 700, attachment_of(lease))).error).reason == "HOLD_LAPSED"
        assert await net.booked() == {"links/ab": 0}


async def test_a_hold_without_a_round_is_refused(opened: Any, link: Any) -> None:
    """Without a round nothing would ever take it away again."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        refusal = refusal_of((await net.reserve("p1", 700, "")).error)
        assert (refusal.reason, refusal.facts["field"]) == ("FIELD_INVALID", "items[0].attachment")


async def test_a_committed_hold_outlives_its_lease_and_ends_with_its_inputs(opened: Any, link: Any) -> None:
    """The path is kept as long as data moves over it, and not a moment longer than that."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        async with await net.store.open_lease(10) as lease:
            hold = (await net.reserve("p1", 700, attachment_of(lease))).hold
            await net.commit_placement("p1", hold)
        await net.until_reservation("p1", COMMITTED)
        assert await net.booked() == {"links/ab": 700}

        await net.move_placement("p1", Placement.STATE_RUNNING)

        await net.until_reservation("p1", RELEASED)
        await net.until_token("placements/p1", stands=False)
        assert await net.booked() == {"links/ab": 0}


async def test_the_path_is_free_as_soon_as_the_last_input_is_there(opened: Any, link: Any) -> None:
    """The next job need not wait for this one's tasks to start."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        lease = await net.store.open_lease(10)
        hold = (await net.reserve("p1", 700, attachment_of(lease))).hold
        await net.commit_placement("p1", hold)
        transport = net.stores("transport")
        transfer = Transfer(name="transfers/p1-in-0", reservation=hold.reservation.name, state=Transfer.STATE_ACTIVE)
        moving = (await transport.commit(Create(TRANSFERS, transfer.name, transfer))).held[0]
        await net.move_placement("p1", Placement.STATE_STAGING, "transfers/p1-in-0")
        await net.until_reservation("p1", COMMITTED)

        done = Transfer(name=transfer.name, reservation=hold.reservation.name, state=Transfer.STATE_DONE)
        await transport.commit(Update(moving, done))

        await net.until_reservation("p1", RELEASED)


async def test_the_way_home_is_kept_until_the_results_are_there(opened: Any, link: Any) -> None:
    """Results leave when a job has run; their way is theirs as long as they move, and nobody's after that."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        lease = await net.store.open_lease(10)
        hold = (await net.reserve("p1", 700, attachment_of(lease))).hold
        await net.commit_placement("p1", hold, site="a")
        transport = net.stores("transport")
        transfer = Transfer(name="transfers/p1-out-0", reservation=hold.reservation.name, state=Transfer.STATE_ACTIVE)
        moving = (await transport.commit(Create(TRANSFERS, transfer.name, transfer))).held[0]
        await net.move_placement("p1", Placement.STATE_DELIVERING, transfer.name)
        await net.until_reservation("p1", COMMITTED)
        assert await net.booked() == {"links/ab": 700}

        done = Transfer(name=transfer.name, reservation=hold.reservation.name, state=Transfer.STATE_DONE)
        await transport.commit(Update(moving, done))

        await net.until_reservation("p1", RELEASED)
        assert await net.booked() == {"links/ab": 0}


async def test_a_way_home_goes_with_its_placement(opened: Any, link: Any) -> None:
    """A job cancelled while it delivers must not keep others off the link."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        lease = await net.store.open_lease(10)
        await net.commit_placement("p1", (await net.reserve("p1", 700, attachment_of(lease))).hold, site="a")
        await net.move_placement("p1", Placement.STATE_DELIVERING)
        await net.until_reservation("p1", COMMITTED)
        await net.move_placement("p1", Placement.STATE_CANCELLED)
        await net.until_reservation("p1", RELEASED)


@pytest.mark.parametrize("state", [Placement.STATE_REFUSED, Placement.STATE_CANCELLED, Placement.STATE_LOST])
async def test_a_terminal_placement_is_the_order_to_release(opened: Any, link: Any, state: int) -> None:
    """Whatever ended the job, its path must not stay booked."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        lease = await net.store.open_lease(10)
        await net.commit_placement("p1", (await net.reserve("p1", 700, attachment_of(lease))).hold)
        await net.move_placement("p1", state)
        await net.until_reservation("p1", RELEASED)


async def test_a_restart_finds_what_the_crash_left(opened: Any, link: Any) -> None:
    """Killed between the booking and its token, the service must not keep the booking for ever."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        lease = await net.store.open_lease(10)
        await net.reserve("p1", 700, attachment_of(lease))
        kept = (await net.reserve("p2", 100, attachment_of(lease))).hold
        await net.commit_placement("p2", kept)
        store = net.store
    await Holds(store).drop([("placements/p1", 0)])
    async with opened() as net:
        await net.until_reservation("p1", RELEASED)
        await net.until_reservation("p2", COMMITTED)
        assert await net.booked() == {"links/ab": 100}


async def test_no_link_is_ever_promised_beyond_its_capacity(opened: Any, link: Any) -> None:
    """Two instances that both believe they lead must still not sell the same bandwidth twice."""
    async with opened() as one, opened() as two:
        await one.declare(link("ab", "a", "b", 1000), link("ac", "a", "c", 900), link("cb", "c", "b", 700))
        async with asyncio.timeout(60):  # the other hears of the links a moment later
            while len((await two.user.network_orchestrator.ListLinks(pb.ListLinksRequest())).links) < 3:
                pass
        async with asyncio.TaskGroup() as tasks:
            lease = await one.store.open_lease(60)
            asked = [
                tasks.create_task(net.reserve(f"p{number}-{which}", 90 + number, attachment_of(lease)))
                for number in range(12)
                for which, net in enumerate((one, two))
            ]
        results = [task.result() for task in asked]
        booked = await one.booked()
        assert booked["links/ab"] <= 1000
        assert booked["links/ac"] <= 900
        assert booked["links/cb"] <= 700
        refused = Counter(refusal_of(result.error).reason for result in results if result.HasField("error"))
        granted = len(results) - refused.total()
        assert granted + refused["CONFLICT"] >= 14, refused  # who met the other instance each time is to ask again
        assert set(refused) <= {"BANDWIDTH_EXHAUSTED", "CONFLICT", "NO_PATH"}


async def test_a_reservation_given_back_leaves_etcd_but_is_still_shown(opened: Any, link: Any) -> None:
    """etcd is for what lives; whoever disputes a bill must still find the path it was for."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        async with await net.store.open_lease(10) as lease:
            await net.reserve("p1", 700, attachment_of(lease))
        await net.until_reservation("p1", RELEASED)
        net.clock.advance(3601)
        await net.until(RESERVATIONS, "reservations/p1-0", lambda message: message is None)
        listed = await net.operator.network_orchestrator.ListReservations(pb.ListReservationsRequest())
        assert [r.name for r in listed.reservations] == ["reservations/p1-0"]


async def test_users_see_the_reservations_of_their_own_party(opened: Any, link: Any) -> None:
    """Who moves data where and when is nobody else's business."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        lease = await net.store.open_lease(10)
        await net.commit_placement("mine", (await net.reserve("mine", 10, attachment_of(lease))).hold)
        await net.until_reservation("mine", COMMITTED)
        await net.reserve("other", 20, attachment_of(lease))
        request = pb.ListReservationsRequest(page_size=1)
        seen = await net.user.network_orchestrator.ListReservations(request)
        first = await net.operator.network_orchestrator.ListReservations(request)
        rest = pb.ListReservationsRequest(page_token=first.next_page_token)
        second = await net.operator.network_orchestrator.ListReservations(rest)
        assert [r.name for r in seen.reservations] == ["reservations/mine-0"]
        assert [r.name for r in [*first.reservations, *second.reservations]] == [
            "reservations/mine-0",
            "reservations/other-0",
        ]
        with pytest.raises(Refusal, match="PAGE_TOKEN_INVALID"):
            await net.user.network_orchestrator.ListReservations(rest)


class HoldsOutOfSight(MemoryKeyspace):
    """An etcd that cannot say which holds stand when it is first asked."""

    away = True

    async def scan(self, prefix: str) -> Listing:
        if prefix == HOLDS and self.away:
            self.away = False
            raise KeyspaceError(KeyspaceErrorKind.UNREACHABLE, "no member answers")
        return await super().scan(prefix)


async def test_holds_that_cannot_be_seen_for_a_moment_are_seen_later(
    opened_over: Any, link: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call that etcd does not answer must not end the term, and with it every hold that is being made."""
    monkeypatch.setattr(reconciler, "RETRY_S", 0.0)
    keys = HoldsOutOfSight(HandClock())
    async with opened_over(keys) as net:
        await net.declare(link("ab", "a", "b", 1000))
        async with await net.store.open_lease(10) as lease:
            await net.reserve("p1", 700, attachment_of(lease))
        await net.until_reservation("p1", RELEASED)

    assert not keys.away
