"""Columns over all hosts tell the same of an ask as looking at one host after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh_kernel.cards import DeviceAsk
from suanmesh_kernel.quantities import Capacity, Device
from suanmesh_scheduler.domain.columns import AllHosts
from suanmesh_scheduler.domain.decide import decide, weigh
from suanmesh_scheduler.domain.fitting import MEASURES
from suanmesh_scheduler.domain.fleet import Fleet
from suanmesh_scheduler.domain.relax import with_change
from suanmesh_scheduler.domain.rooms import EACH_HOST
from suanmesh_scheduler.domain.values import (
    AdmittingChange,
    Ask,
    Host,
    JobSpec,
    Offer,
    Pool,
    Quote,
    Situation,
)

AMOUNTS = st.integers(-2, 6)
"""Of each measure; less than nothing where more is booked than there is."""
ASKS = st.builds(Ask, *(st.integers(0, 4) for _ in MEASURES)).filter(lambda ask: any(_measures(ask)))
JOBS = st.builds(JobSpec, ASKS, st.just("accounts/a"), count=st.integers(1, 3))
CAPACITIES = st.builds(Capacity, AMOUNTS, AMOUNTS, AMOUNTS)
HOSTS = st.lists(CAPACITIES, max_size=5)
FLEETS = st.lists(HOSTS, min_size=1, max_size=4)


def _measures(ask: Ask) -> list[int]:
    return [getattr(ask, measure) for measure in MEASURES]


def _pool(number: int, frees: list[Capacity]) -> Pool:
    name, whole = f"sites/s{number}/pools/p", Capacity(6, 6, 6)
    hosts = tuple(Host(f"h{9 - at}", whole, free) for at, free in enumerate(frees))
    return Pool(name, f"sites/s{number}", "x86_64", hosts, (Offer(f"{name}/offers/o", "priceBooks/b"),))


def _situation(pools: tuple[Pool, ...]) -> Situation:
    quotes = {offer.name: Quote(7) for pool in pools for offer in pool.offers}
    return Situation(pools, datetime(2026, 1, 1, tzinfo=UTC), 100, {}, quotes)


@settings(deadline=None, max_examples=500)
@given(JOBS, FLEETS, st.lists(st.tuples(st.integers(0, 3), HOSTS), max_size=4))
def test_columns_tell_of_a_fleet_that_changes_what_its_hosts_tell(
    job: JobSpec, first: list[list[Capacity]], changes: list[tuple[int, list[Capacity]]]
) -> None:
    """A job would be sent to a host that was taken, or told of an obstacle that is none."""
    fleet = Fleet()
    fleet.take_in([_pool(number, frees) for number, frees in enumerate(first)])
    for number, frees in [(0, first[0]), *changes]:
        fleet.put(_pool(number, frees))
        lookup = fleet.room_for(job)
        assert isinstance(lookup, AllHosts)
        for pool in fleet.pools.values():
            assert weigh(job, pool, _situation((pool,)), lookup) == weigh(job, pool, _situation((pool,)))
            if not EACH_HOST.slots(job, pool):
                told = [(lookup.largest(job, pool, m), EACH_HOST.largest(job, pool, m)) for m in MEASURES]
                assert all(one == other for one, other in told), told


@settings(deadline=None, max_examples=200)
@given(JOBS, FLEETS, st.integers(1, 4))
def test_pools_that_have_gone_are_told_of_no_more(job: JobSpec, first: list[list[Capacity]], left: int) -> None:
    """A column would speak for the host that has moved into its place."""
    pools, fleet = [_pool(number, frees) for number, frees in enumerate(first)], Fleet()
    fleet.take_in(pools)
    fleet.room_for(job)
    fleet.take_in(pools[-left:])
    lookup = fleet.room_for(job)

    assert list(fleet.pools.values()) == pools[-left:]
    assert [lookup.slots(job, pool) for pool in pools[-left:]] == [EACH_HOST.slots(job, p) for p in pools[-left:]]


@settings(deadline=None, max_examples=300)
@given(JOBS, FLEETS)
def test_the_change_that_is_told_is_the_smallest_of_all(job: JobSpec, frees: list[list[Capacity]]) -> None:
    """Somebody would give up more memory than they have to."""
    pools = tuple(_pool(number, of_pool) for number, of_pool in enumerate(frees))
    now, fleet = _situation(pools), Fleet()
    fleet.take_in(pools)
    verdict = decide(job, now)
    if verdict.chosen is not None:
        return

    *_, smallest = min(_changes(job, pools), default=(None,))
    assert with_change(verdict, job, now).change == smallest
    assert with_change(verdict, job, now, fleet.room_for(job)).change == smallest


def _changes(job: JobSpec, pools: tuple[Pool, ...]) -> Iterator[tuple[float, int, str, str, AdmittingChange]]:
    """Every smaller ask that some pool admits, with what it is compared by."""
    for pool in pools:
        for measure in MEASURES:
            asked = getattr(job.ask, measure)
            for value in range(1, asked):
                less = replace(job, ask=replace(job.ask, **{measure: value}))  # type: ignore[arg-type]
                weighed = weigh(less, pool, _situation((pool,)))
                if weighed.obstacle is None:
                    change = AdmittingChange(f"ask.{measure}", str(asked), str(value), pool.name)
                    yield (asked - value) / asked, *weighed.rank[1:2], pool.name, change.field, change


def test_jobs_with_cards_are_told_by_their_hosts() -> None:
    """Which cards go together is told host by host: a column of counts would sell one card to two asks."""
    fleet = Fleet()
    fleet.take_in([_pool(0, [Capacity(4, 4, 4, (Device("gpu", "a", 1),))])])

    assert fleet.room_for(JobSpec(Ask(1, 1, devices=(DeviceAsk("gpu", (), 1, 0),)), "accounts/a")) is EACH_HOST
