"""Holds of money from the ask to the release, over the store and behind the real wrapper."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1.usage_pb2 import Hold
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.type.v1.money_pb2 import METER_TRANSFER_BYTES, Price
from suanmesh_sdk.status import refusal_of
from suanmesh_store import Holds, attachment_of

HELD, COMMITTED, RELEASED = Hold.STATE_HELD, Hold.STATE_COMMITTED, Hold.STATE_RELEASED


async def founded(books: Any) -> None:
    await books.open_account(credit=1000)
    await books.publish()


async def test_a_hold_takes_what_it_promises_and_says_what_is_missing(opened: Any) -> None:
    """A consumer must hear how much to pay in, and money promised twice is not there when the bill comes."""
    async with opened() as books:
        await founded(books)
        lease = await books.lease()
        made = (await books.hold("p", 700, lease)).hold
        assert (made.hold.state, made.hold.amount_micros) == (HELD, 700)
        assert await Holds(books.stores("accounting")).attachment("placements/p", 0) == lease
        account = await books.account()
        assert (account.balance_micros, account.held_micros) == (1000, 700)

        refusal = refusal_of((await books.hold("q", 301, lease)).error)

        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "BALANCE_INSUFFICIENT")
        assert (refusal.facts["missing_micros"], refusal.facts["available_micros"]) == ("1", "300")
        assert (await books.hold("r", 300, lease)).hold.hold.amount_micros == 300


async def test_asking_twice_is_answered_with_the_hold_that_stands(opened: Any) -> None:
    """A scheduler that lost the answer must not take the money twice."""
    async with opened() as books:
        await founded(books)
        lease = await books.lease()
        first = await books.hold("p", 700, lease)
        assert await books.hold("p", 700, lease) == first
        assert (await books.account()).held_micros == 700


async def test_what_is_asked_twice_in_one_call_is_held_once(opened: Any) -> None:
    """A round that names a placement twice must get its hold, not a conflict with itself."""
    async with opened() as books:
        await founded(books)
        ask = pb.HoldAsk(
            placement="placements/p", account="accounts/acme", amount_micros=700, attachment=await books.lease(),
            job="jobs/p", site="sites/a", price_book="priceBooks/a",
        )  # fmt: skip
        answer = await books.scheduler.accounting.PlaceHolds(pb.PlaceHoldsRequest(items=[ask, ask]))
        assert answer.results[0].HasField("hold")
        assert answer.results[0] == answer.results[1]
        assert (await books.account()).held_micros == 700


async def test_two_holds_at_once_cannot_both_take_the_last_money(opened: Any) -> None:
    """Two jobs that both believe they are paid for leave one provider with nothing."""
    async with opened() as books:
        await founded(books)
        lease = await books.lease()
        results = await asyncio.gather(*(books.hold(f"p{number}", 100 + number, lease) for number in range(30)))
        granted = [result.hold.hold.amount_micros for result in results if result.HasField("hold")]
        assert 1000 - 130 < sum(granted) <= 1000
        assert {refusal_of(r.error).reason for r in results if r.HasField("error")} == {"BALANCE_INSUFFICIENT"}
        assert (await books.account()).held_micros == sum(granted)


async def test_a_hold_whose_token_cannot_be_put_is_given_back(opened: Any) -> None:
    """A late ask of a round that is over must not keep money until somebody looks."""
    async with opened() as books:
        await founded(books)
        lease = await books.stores("scheduler").open_lease(60)
        await lease.revoke()
        assert refusal_of((await books.hold("p", 700, attachment_of(lease))).error).reason == "HOLD_LAPSED"
        assert (await books.account()).held_micros == 0
        again = (await books.hold("p", 600, await books.lease())).hold
        assert (again.hold.state, again.hold.amount_micros) == (HELD, 600)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"account": "accounts/none"}, "ACCOUNT_UNKNOWN"),
        ({"price_book": "priceBooks/none"}, "PRICE_UNKNOWN"),
        ({"price_book": "priceBooks/euro"}, "CURRENCY_MISMATCH"),
        ({"account": "acme"}, "FIELD_INVALID"),
        ({"amount": -1}, "FIELD_INVALID"),
        ({"index": -1}, "FIELD_INVALID"),
        ({"attachment": ""}, "FIELD_INVALID"),
    ],
)
async def test_a_wrong_hold_takes_nothing(books: Any, change: dict[str, Any], reason: str) -> None:
    """What cannot be rated later must not be promised now, and without a round nothing would ever take it back."""
    await books.publish("euro", currency="EUR")
    result = await books.hold("p", **({"amount": 5, "attachment": await books.lease()} | change))
    assert refusal_of(result.error).reason == reason
    assert await books.holds() == {}


async def test_a_hold_lives_as_long_as_its_placement(opened: Any) -> None:
    """Money must be there until the last usage has come, and be free the moment it has."""
    async with opened() as books:
        await founded(books)
        await books.place("p", 700, tasks=2)
        await books.until("p", COMMITTED)
        await books.use("a", "p", 100)
        await books.end("p")
        await books.use("a", "p", 50, task=0, final=True)
        assert (await books.holds())["p"].state == COMMITTED
        await books.use("a", "p", 25, task=1, final=True)

        hold = await books.until("p", RELEASED)

        assert (hold.amount_micros, hold.charged_micros) == (700, 175)
        account = await books.account()
        assert (account.balance_micros, account.held_micros) == (825, 0)
        async with asyncio.timeout(60):
            while await Holds(books.stores("accounting")).stands("placements/p", 0):
                pass


async def test_a_hold_waits_for_what_its_results_cost_on_their_way_home(opened: Any) -> None:
    """What was moved is reported by another site than ran the tasks, a moment later, and its carrier must be paid.

    By then the rest of the account may be promised to others: outside the hold there is nothing left to pay with.
    """
    async with opened() as books:
        await founded(books)
        price = Price(meter=METER_TRANSFER_BYTES, amount_micros=1, per_quantity=1)
        way = pb.LinkPrice(link="links/a-b", party="parties/net", source="sites/a", target="sites/b", price=price)
        await books.place("p", 300, link_prices=[way])
        await books.place("rest", 700)
        await books.use("a", "p", 100, final=True)
        await books.deliver("p-out-0", "a", "b", "p", received=150)
        await books.deliver("p-out-1", "a", "b", "p", received=0)
        await books.end("p")
        books.clock.advance(1)
        await books.place("witness", 0)
        await books.use("a", "witness", final=True)
        await books.end("witness")
        await books.until("witness", RELEASED)
        assert (await books.holds())["p"].state == COMMITTED

        await books.moved("b", "p", "p-out-0", 150)

        assert (await books.until("p", RELEASED)).charged_micros == 250
        assert [(c.amount_micros, c.waived_micros) for c in (await books.bill()).charges] == [(100, 0), (150, 0)]


async def test_a_hold_does_not_wait_for_ever_for_what_a_delivery_cost(books: Any) -> None:
    """The site a result went to may burn down with it, and the money is the customer's again."""
    await books.place("p", 300)
    await books.use("a", "p", 100, final=True)
    await books.deliver("p-out-0", "a", "b", "p", received=150)
    await books.end("p")
    books.clock.advance(31)
    await books.until("p", RELEASED)


async def test_only_the_site_that_runs_a_placement_says_that_all_has_come(books: Any) -> None:
    """A rival could have the money given back, and spent elsewhere, before the last usage comes."""
    await books.place("p", 700)
    await books.end("p")
    await books.use("b", "p", 5, final=True)
    await books.use("a", "p", 5, task=3, final=True)
    await books.place("witness", 10)
    await books.use("a", "witness", 1, final=True)
    await books.end("witness")
    await books.until("witness", RELEASED)
    assert (await books.holds())["p"].state == COMMITTED
    await books.use("a", "p", 5, final=True)
    await books.until("p", RELEASED)


@pytest.mark.parametrize("state", [Placement.STATE_REFUSED, Placement.STATE_EXPIRED])
async def test_what_never_ran_gives_its_money_back_at_once(opened: Any, state: int) -> None:
    """A job that one site refused must find its whole budget free at the next."""
    async with opened() as books:
        await founded(books)
        await books.place("p", 700)
        await books.until("p", COMMITTED)
        await books.end("p", state)
        await books.until("p", RELEASED)


@pytest.mark.parametrize("state", [Placement.STATE_FAILED, Placement.STATE_CANCELLED, Placement.STATE_LOST])
async def test_a_hold_does_not_wait_for_ever_for_usage_that_never_comes(opened: Any, state: int) -> None:
    """A site that burned down must not keep a customer's money for good."""
    async with opened() as books:
        await founded(books)
        await books.place("p", 700)
        await books.until("p", COMMITTED)
        await books.end("p", state)
        books.clock.advance(30)
        assert (await books.holds())["p"].state == COMMITTED
        books.clock.advance(1)
        await books.until("p", RELEASED)


async def test_a_hold_evaporates_with_its_lease(opened: Any) -> None:
    """A scheduler that died between hold and commit must leave nothing behind."""
    async with opened() as books:
        await founded(books)
        async with await books.stores("scheduler").open_lease(60) as lease:
            await books.hold("gone", 700, attachment_of(lease))
            await books.hold("kept", 100, await books.lease())
        books.clock.advance(16)
        await books.until("gone", RELEASED)
        assert (await books.holds())["kept"].state == HELD
        assert (await books.account()).held_micros == 100


async def test_a_placement_that_is_over_holds_no_money_again(books: Any) -> None:
    """With a fresh hold its late usage would be charged a second time up to all that was ever promised."""
    await books.place("p", 100)
    await books.use("a", "p", 100, final=True)
    await books.end("p")
    await books.until("p", RELEASED)
    result = await books.hold("p", 100, await books.lease())
    assert refusal_of(result.error).reason == "HOLD_LAPSED"
    assert (await books.holds())["p"].charged_micros == 100


async def test_a_restart_goes_on_from_the_books(opened: Any) -> None:
    """Killed between a commit and its notice, accounting must find both what stands and what is over."""
    async with opened() as books:
        await founded(books)
        lease = await books.lease()
        results = [await books.hold(placement, 100, lease) for placement in ("running", "over")]
    for placement, result in zip(("running", "over"), results, strict=True):
        await books.commit(placement, result.hold)
    await books.end("over")
    async with opened() as books:
        await books.until("running", COMMITTED)
        books.clock.advance(31)
        await books.until("over", RELEASED)
        assert (await books.account()).held_micros == 100
