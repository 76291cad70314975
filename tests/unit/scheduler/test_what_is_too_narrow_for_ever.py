"""Bandwidth that no way will ever have is told from bandwidth that others have now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise, permutations

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.quantities import Capacity as Amounts
from suanmesh_scheduler.domain.decide import decide
from suanmesh_scheduler.domain.outlook import NEVER_FITS, with_outlook
from suanmesh_scheduler.domain.values import Ask, Blocked, Host, JobSpec, Need, Offer, Pool, Quote, Situation
from suanmesh_scheduler.domain.widths import Capacity, widest_bps

ENDS = "abcd"
WIRES = st.lists(st.builds(Capacity, st.sampled_from(ENDS), st.sampled_from(ENDS), st.integers(1, 9)), max_size=9)


def every_way(links: list[Capacity], source: str, target: str) -> int:
    """The slow reference: over every order of ends between."""
    best = 0
    for length in range(len(ENDS) - 1):
        for between in permutations([end for end in ENDS if end not in (source, target)], length):
            ends = (source, *between, target)
            steps = list(pairwise(ends))
            widths = [max((each.bps for each in links if each[:2] == step), default=0) for step in steps]
            best = max(best, min(widths))
    return best


@given(WIRES)
def test_the_widest_way_is_that_of_all(links: list[Capacity]) -> None:
    """A job would be told that it can never run while there is a way, or wait for one that there is not."""
    assert widest_bps(links, "a", "d") == every_way(links, "a", "d")


def test_a_job_is_told_never_only_where_no_link_suffices() -> None:
    """A link that is full becomes free; one that is too narrow is waited for in vain."""
    room = Amounts(4000, 1 << 33, 1 << 30)
    offers = (Offer("o", "priceBooks/a", max_duration_s=7200),)
    pool = Pool("sites/a/pools/p", "sites/a", "x86_64", (Host("h", room, room),), offers)
    needs = (Need("datasets/d", 1 << 20, frozenset({"sites/d"})),)
    job = JobSpec(Ask(1000, 1 << 20), "accounts/a", needs=needs, min_bandwidth_bps=1000)
    situation = Situation((pool,), datetime(2026, 1, 1, tzinfo=UTC), 1000, quotes={"o": Quote(100)})
    for most_bps, never in ((999, True), (1000, False)):
        full = Blocked("bandwidth", "links/l", 5, most_bps=most_bps)
        now = replace(situation, paths={("sites/d", "sites/a"): full})
        told = with_outlook(decide(job, now), job, now)
        assert (NEVER_FITS.code in str(told.reason)) is never
