"""A round comes to what deciding its jobs one by one would, each with everything read anew after the one before."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh_kernel.cards import DeviceAsk
from suanmesh_kernel.quantities import Capacity, Device
from suanmesh_scheduler.domain.bookings import Booked, free_hosts
from suanmesh_scheduler.domain.classes import Classes
from suanmesh_scheduler.domain.decide import decide
from suanmesh_scheduler.domain.fitting import taken
from suanmesh_scheduler.domain.outlook import with_outlook
from suanmesh_scheduler.domain.relax import with_change
from suanmesh_scheduler.domain.round import Turn, decide_round
from suanmesh_scheduler.domain.values import (
    Ask,
    Blocked,
    Candidate,
    Failing,
    Host,
    JobSpec,
    Need,
    Offer,
    PartyBudget,
    Path,
    Pool,
    Quote,
    Situation,
    Verdict,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GIB = 1 << 30
FAILING = Failing(3, NOW, "DISK_FULL: no room")


def a_world(seed: int) -> list[Turn]:
    """A dozen jobs of a few classes over a few pools, with links, accounts and hosts that they must share."""
    rng = Random(seed)
    pools = tuple(_pool(rng, number) for number in range(rng.randint(1, 6)))
    classes = [_job(rng) for _ in range(rng.randint(1, 4))]
    left = rng.choice([None, 6, 30, 10**9])
    budget = None if left is None else PartyBudget("parties/p", "CNY", 10**9, left, NOW)
    situations = {job: replace(_situation(rng, job, pools), party_budget=budget) for job in classes}
    return [Turn(job, situations[job]) for job in (rng.choice(classes) for _ in range(rng.randint(1, 12)))]


def _pool(rng: Random, number: int) -> Pool:
    name = f"sites/s{number % 4}/pools/p{number}"
    hosts = tuple(Host(f"h{n}", capacity, capacity) for n, capacity in enumerate(_capacities(rng)))
    offers = tuple(
        Offer(f"{name}/offers/o{n}", f"priceBooks/{n}", rng.choice([0, 50])) for n in range(rng.randint(0, 2))
    )
    return Pool(
        name,
        f"sites/s{number % 4}",
        rng.choice(["x86_64", "arm64"]),
        hosts,
        offers,
        capabilities={"score": rng.randint(0, 9)},
        active=rng.random() < 0.9,
        on_trial=FAILING if number % 4 == 1 else None,
    )


def _capacities(rng: Random) -> list[Capacity]:
    cards = [Device("gpu", model, rng.randint(1, 4), GIB) for model in rng.sample("ab", rng.randint(0, 2))]
    return [
        Capacity(rng.choice([0, 1000, 2000, 4000]), rng.randint(0, 8) * GIB, 8 * GIB, tuple(cards))
        for _ in range(rng.randint(1, 4))
    ]


def _job(rng: Random) -> JobSpec:
    devices = tuple(
        DeviceAsk("gpu", rng.choice([(), ("a",), ("b",)]), rng.randint(1, 3), 0)
        for _ in range(rng.choice([0, 0, 1, 2]))
    )
    data = rng.sample("de", rng.choice([0, 0, 1, 2]))
    ask = Ask(rng.choice([500, 1000, 3000]), rng.randint(1, 3) * GIB, 0, devices, rng.choice([(), (("score", 4),)]))
    return JobSpec(
        ask,
        rng.choice(["accounts/a", "accounts/b"]),
        count=rng.choice([1, 1, 3, 9]),
        gang=rng.random() < 0.3,
        needs=tuple(Need(f"datasets/{d}", 10**8, frozenset({f"sites/{d}"})) for d in data),
        setbacks=rng.choice([{}, {"sites/s0": 1}]),
        budget_micros=rng.choice([0, 0, 7]),
        deadline=rng.choice([None, NOW + timedelta(seconds=rng.choice([100, 300]))]),
        second_value_micros=rng.choice([0, 1]),
        max_duration_s=100,
    )  # fmt: skip


def _situation(rng: Random, job: JobSpec, pools: tuple[Pool, ...]) -> Situation:
    offers = [offer.name for pool in pools for offer in pool.offers]
    pairs = [(source, pool.site) for need in job.needs for source in need.sites for pool in pools]
    return Situation(
        pools,
        NOW,
        rng.choice([5, 40, 10**9]),
        {pair: _way(rng, *pair) for pair in pairs},
        {offer: Quote(rng.randint(1, 9)) for offer in offers if rng.random() < 0.9},
    )


def _way(rng: Random, source: str, target: str) -> Path | Blocked:
    if rng.random() < 0.2:
        return Blocked("bandwidth", "links/full", 10)
    links = (f"links/{source[-1]}", rng.choice(["links/x", f"links/{target[-2:]}"]))
    return Path(links, rng.randint(1, 9), rng.choice([2_000_000, 30_000_000, 10**9]), rng.choice([0, 1]))


class Books:
    """All that was placed, kept as bookings; a situation is made from it anew for each job."""

    def __init__(self) -> None:
        self.booked: list[Booked] = []
        self.links: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.tried: set[str] = set()

    def seen(self, turn: Turn) -> Situation:
        now, paid = turn.situation, self.paid[turn.job.account]
        return replace(
            now,
            pools=tuple(self._left(pool) for pool in now.pools),
            paths={pair: self._way(way, turn.job.min_bandwidth_bps) for pair, way in now.paths.items()},
            free_micros=now.free_micros - paid,
            held_micros=now.held_micros + paid,
            party_budget=now.party_budget
            and replace(now.party_budget, left_micros=now.party_budget.left_micros - self.paid.total()),
        )

    def _left(self, pool: Pool) -> Pool:
        hosts = free_hosts(pool.name, [(host.name, host.capacity) for host in pool.hosts], self.booked)
        return replace(pool, hosts=hosts, failing=pool.on_trial if pool.site in self.tried else None)

    def _way(self, way: Path | Blocked, least_bps: int) -> Path | Blocked:
        if isinstance(way, Blocked):
            return way
        used, link = max((self.links[link], link) for link in way.links)
        left = way.available_bps - used
        return (
            Blocked("bandwidth", link, max(0, left)) if used and left < least_bps else replace(way, available_bps=left)
        )

    def place(self, job: JobSpec, chosen: Candidate, now: Situation) -> None:
        pool = next(pool for pool in now.pools if pool.name == chosen.pool)
        first = next(host for host in pool.hosts if host.name == chosen.slots[0][0])
        self.booked.append(Booked(f"placements/{len(self.booked)}", pool.name, chosen.slots, taken(job.ask, first)))
        for route in chosen.routes:
            self.links.update(dict.fromkeys(route.path.links, route.rate_bps))
        self.paid[job.account] += chosen.cost_micros or 0
        self.tried.add(pool.site)


def one_by_one(turns: list[Turn]) -> list[Verdict]:
    """The slow reference: class by class, in the order of their first jobs."""
    books, verdicts = Books(), dict[int, Verdict]()
    order = sorted(range(len(turns)), key=lambda index: (turns.index(turns[index]), index))
    for index in order:
        turn = turns[index]
        now = books.seen(turn)
        verdicts[index] = with_outlook(with_change(decide(turn.job, now), turn.job, now), turn.job, now)
        if (chosen := verdicts[index].chosen) is not None:
            books.place(turn.job, chosen, now)
    return [verdicts[index] for index in range(len(turns))]


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32))
def test_a_round_comes_to_what_one_by_one_would(seed: int) -> None:
    """Two jobs of a round would be sold the same core, card, link or money; or one be turned away beside room."""
    turns = a_world(seed)
    decided = [each.verdict for each in decide_round(turns)]

    assert decided == one_by_one(turns)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32))
def test_a_round_is_the_same_each_time(seed: int) -> None:
    """A decision that cannot be repeated cannot be explained."""
    assert decide_round(a_world(seed)) == decide_round(a_world(seed))


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32), st.integers(0, 3))
def test_what_is_kept_from_earlier_rounds_changes_nothing(seed: int, gone: int) -> None:
    """A decision would hold to what a pool was an hour ago."""
    turns, classes = a_world(seed), Classes()
    decide_round(turns, classes)
    left = turns[0].situation.pools[gone:]
    later = [replace(turn, situation=replace(turn.situation, pools=left)) for turn in turns]

    assert decide_round(later, classes) == decide_round(later)
    assert decide_round(turns, classes) == decide_round(turns)
