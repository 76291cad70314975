"""What a job costs is asked once for rounds that follow each other, and never kept beyond its time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_scheduler.domain.values import Ask, JobSpec, Offer
from suanmesh_scheduler.quotes import KEPT, QuoteReader, most_readings
from suanmesh_scheduler.testing import FakePeers
from suanmesh_store import MemoryStore

JOB = JobSpec(Ask(1000, 0), "accounts/a", max_duration_s=10)
OFFERS = [Offer("sites/s/pools/p/offers/o", "priceBooks/b"), Offer("sites/s/pools/p/offers/none", "priceBooks/none")]
KEY = "priceBooks/b", most_readings(JOB)
LONG = timedelta(seconds=60)


class Accounting(FakePeers):
    """Quotes stand for `stand`."""

    def __init__(self, clock: HandClock, stand: timedelta) -> None:
        store = MemoryStore("accounting", clock=clock, rng=seeded_rng(1))
        super().__init__(store, store, store, price_micros_per_cpu_s={"priceBooks/b": 2})
        self.clock, self.stand = clock, stand

    async def quote(self, asks: Sequence[accounting.QuoteAsk]) -> Sequence[accounting.QuoteResult]:
        results = await FakePeers.quote(self, asks)
        for result in results:
            if result.HasField("quote"):
                result.quote.expire_time.FromDatetime(self.clock.now() + self.stand)
        return results


@pytest.mark.parametrize(
    ("stand", "passed", "anew", "then"),
    [
        (LONG, KEPT / 2, False, 20),
        (LONG, KEPT, False, 30),
        (LONG, KEPT / 2, True, 30),
        (KEPT / 4, KEPT / 2, False, 30),
    ],
    ids=["kept", "some time past", "asked anew", "stands no longer"],
)
async def test_a_price_that_has_changed_is_seen(stand: timedelta, passed: timedelta, anew: bool, then: int) -> None:
    """Who has become cheaper would not be chosen, or money would be held by a quote that stands no longer."""
    clock = HandClock()
    peers = Accounting(clock, stand)
    reader = QuoteReader(peers, clock)
    first = await reader.read([JOB], OFFERS, anew=False)
    peers.price_micros_per_cpu_s["priceBooks/b"] = 3
    clock.advance(passed.total_seconds())
    second = await reader.read([JOB], OFFERS, anew=anew)
    assert {key: quote.amount_micros for key, quote in first.items()} == {KEY: 20}
    assert {key: quote.amount_micros for key, quote in second.items()} == {KEY: then}


async def test_a_price_that_comes_is_seen_at_once() -> None:
    """A pool whose prices were published too late would have no price for as long as others' quotes are kept."""
    clock = HandClock()
    peers = Accounting(clock, LONG)
    reader = QuoteReader(peers, clock)
    await reader.read([JOB], OFFERS, anew=False)
    peers.price_micros_per_cpu_s["priceBooks/none"] = 4
    found = await reader.read([JOB], OFFERS, anew=False)
    assert found["priceBooks/none", most_readings(JOB)].amount_micros == 40
