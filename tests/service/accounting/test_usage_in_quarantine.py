"""Usage that no hold pays for: kept apart, bounded by site, rated when a hold comes, dropped when none does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1.usage_pb2 import StoredUsage
from suanmesh_kernel.refusals import Refusal
from suanmesh_telemetry.metrics import QUARANTINE_EXPIRED, QUARANTINE_REFUSED

ROOM = 100
PATIENCE_S = 60.0
WEEK_S = 7 * 86_400
BURST, BATCH = 3000, 1000


def reason(told: str | Refusal) -> str:
    return told.reason if isinstance(told, Refusal) else ""


async def stored(books: Any, caller: str = "operator") -> list[StoredUsage]:
    asked = getattr(books, caller).accounting
    return list((await asked.ListUsage(pb.ListUsageRequest(page_size=1000))).usage)


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await true():
            pass


async def flood(books: Any, site: str, count: int, *, placement: str = "unknown", **more: Any) -> list[str | Refusal]:
    """What an agent with a valid certificate can send of work that nobody knows."""
    return await books.send(site, *(books.record(site, placement, 1, **more) for _ in range(count)))


async def test_a_site_cannot_fill_the_ledger_with_usage_of_nothing(books: Any) -> None:
    """One hostile agent would else grow the ledger until the node stops: 211 MiB in two seconds were seen."""
    refused = QUARANTINE_REFUSED._value.get()

    answers = Counter(
        [reason(result) for result in [*await flood(books, "a", 2 * ROOM), *await flood(books, "a", ROOM)]]
    )

    assert answers == {"USAGE_NOT_RATABLE": ROOM, "QUARANTINE_FULL": 2 * ROOM}
    assert len(await stored(books)) == ROOM
    assert QUARANTINE_REFUSED._value.get() - refused == 2 * ROOM


async def test_no_way_of_not_being_paid_gets_round_the_bound(books: Any) -> None:
    """Placements of others, those that wait for their commit, and unknown transfers are as good as unknown ones."""
    await books.place("other", 100, site="sites/b")
    await books.hold("uncommitted", 100, await books.lease())
    await flood(books, "a", ROOM - 3)
    for placement, transfer in (("other", ""), ("uncommitted", ""), ("other", "transfers/none"), ("x", ""), ("y", "")):
        await flood(books, "a", 1, placement=placement, transfer=transfer)

    assert len(await stored(books)) == ROOM
    assert reason((await flood(books, "a", 1, placement="other"))[0]) == "QUARANTINE_FULL"


async def test_one_sites_quarantine_is_nobody_elses(books: Any) -> None:
    """An honest site must be paid, and its odd records kept, whatever another one sends."""
    await flood(books, "a", 2 * ROOM)
    await books.place("p", 100, site="sites/b")
    await books.place("own", 100)

    assert reason(await books.use("b", "p", 40)) == ""
    assert reason(await books.use("b", "unknown", 1)) == "USAGE_NOT_RATABLE"
    assert reason(await books.use("a", "own", 2)) == ""
    assert (await books.bill()).total_micros == 42


async def test_what_is_sent_again_counts_once(books: Any) -> None:
    """An agent sends again what it got no answer to; other content under a number must not pass for it."""
    record = books.record("a", "unknown", 5)
    first = await books.send("a", record)
    again = await books.send("a", record)
    record.readings[0].quantity = 6
    other = await books.send("a", record)

    assert [reason(each) for each in (*first, *again, *other)] == [
        "USAGE_NOT_RATABLE", "USAGE_NOT_RATABLE", "USAGE_CONFLICT",
    ]  # fmt: skip
    assert len(await stored(books)) == 1


async def test_usage_is_rated_once_its_placement_has_a_hold(books: Any) -> None:
    """A site whose usage came too early is to be paid; the customer then sees it, and not before."""
    early = books.record("a", "late", 40)
    assert reason((await books.send("a", early))[0]) == "USAGE_NOT_RATABLE"
    assert await stored(books, "user") == []

    await books.place("late", 100)

    async def charged() -> bool:
        return bool((await books.bill()).total_micros == 40)

    await until(charged)
    assert len(await stored(books, "user")) == 1
    assert await books.send("a", early) == ["OUTCOME_DUPLICATE"]
    assert (await books.bill()).total_micros == 40
    await books.assert_balanced()


async def test_usage_nobody_comes_for_is_dropped_and_told(books: Any) -> None:
    """What waits for ever fills the ledger as surely as a flood, only later; an operator must learn that it went."""
    expired = QUARANTINE_EXPIRED._value.get()
    await flood(books, "a", 3)
    books.clock.advance(WEEK_S + 1)

    async def gone() -> bool:
        return not await stored(books)

    await until(gone)
    assert QUARANTINE_EXPIRED._value.get() - expired == 3
    assert reason((await flood(books, "a", 1))[0]) == "USAGE_NOT_RATABLE"


async def test_a_site_sends_no_faster_than_it_may(books: Any) -> None:
    """Usage of a placement of its own is kept for good: a hostile site could grow the ledger with that, too."""
    for _ in range(BURST // BATCH):
        await flood(books, "a", BATCH)
    with pytest.raises(Refusal) as refused:
        await flood(books, "a", BATCH)
    assert (refused.value.code, refused.value.reason) == ("RESOURCE_EXHAUSTED", "USAGE_TOO_FAST")
    assert refused.value.retry_delay_s == 60
    assert reason(await books.use("b", "unknown", 1)) == "USAGE_NOT_RATABLE"
    books.clock.advance(BATCH)
    assert {reason(result) for result in await flood(books, "a", BATCH)} == {"QUARANTINE_FULL"}
