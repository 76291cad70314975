"""Decisions: the same for the same situation, never more than a host has, and flipped by a single number."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh_kernel.cards import DeviceAsk
from suanmesh_kernel.quantities import Capacity, Device
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.bookings import Booked, free_hosts
from suanmesh_scheduler.domain.decide import decide
from suanmesh_scheduler.domain.fitting import HOSTS_MAX, one_task, room, slots, taken
from suanmesh_scheduler.domain.moving import shared, ways_home
from suanmesh_scheduler.domain.relax import with_change
from suanmesh_scheduler.domain.values import (
    Ask,
    Blocked,
    Host,
    JobSpec,
    Need,
    Offer,
    Path,
    PlannedTransfer,
    Pool,
    Quote,
    Result,
    Situation,
    Verdict,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GIB = 1 << 30
MIB = 1 << 20
JOB = JobSpec(Ask(1000, GIB), "accounts/a")
MOVING = replace(JOB, needs=(Need("datasets/d", 10**8, frozenset({"sites/d"})),))


def host(name: str, cpu_milli: int = 4000, memory: int = 8, *cards: Device) -> Host:
    capacity = Capacity(cpu_milli, memory * GIB, 0, cards)
    return Host(name, capacity, capacity)


def pool(site: str, *hosts: Host) -> Pool:
    name = f"sites/{site}/pools/p"
    offer = Offer(f"{name}/offers/o", f"priceBooks/{site}")
    return Pool(name, f"sites/{site}", "x86_64", hosts or (host("h"),), (offer,))


def situation(
    prices: dict[str, int], *pools: Pool, distances: dict[str, int] | None = None, bps: int = 10**8
) -> Situation:
    paths = {
        ("sites/d", f"sites/{site}"): Path((f"links/d-{site}",), latency_us, bps)
        for site, latency_us in (distances or {}).items()
    }
    quotes = {f"sites/{site}/pools/p/offers/o": Quote(price) for site, price in prices.items()}
    return Situation(pools or tuple(pool(site) for site in prices), NOW, 10**9, paths, quotes)


def winner(job: JobSpec, now: Situation) -> str:
    chosen = decide(job, now).chosen
    return chosen.site if chosen else ""


def verdict(job: JobSpec, now: Situation) -> Verdict:
    return with_change(decide(job, now), job, now)


def test_one_price_flips_the_winner() -> None:
    """If a price made no difference, the decision would be luck and providers could not compete."""
    distances = {"a": 10, "b": 20}
    assert winner(MOVING, situation({"a": 5, "b": 6}, distances=distances)) == "sites/a"
    assert winner(MOVING, situation({"a": 7, "b": 6}, distances=distances)) == "sites/b"


def test_one_distance_flips_the_winner() -> None:
    """Of two that cost the same the nearer one must win, whatever it is called."""
    assert winner(MOVING, situation({"a": 6, "b": 6}, distances={"a": 10, "b": 20})) == "sites/a"
    assert winner(MOVING, situation({"a": 6, "b": 6}, distances={"a": 30, "b": 20})) == "sites/b"


def test_one_capacity_flips_the_winner() -> None:
    """The cheapest site must lose a job that it has no room for."""
    cramped = pool("a", host("h", cpu_milli=500))
    assert winner(JOB, situation({"a": 5, "b": 6}, pool("a"), pool("b"))) == "sites/a"
    assert winner(JOB, situation({"a": 5, "b": 6}, cramped, pool("b"))) == "sites/b"


def test_the_value_of_time_flips_the_winner() -> None:
    """Who is in a hurry pays more for the site where the result comes first."""
    now = situation({"a": 5, "b": 50}, distances={"a": 10, "b": 10})
    slow = replace(now, paths=dict(now.paths) | {("sites/d", "sites/a"): Path(("links/d-a",), 10, 10**6)})
    assert winner(MOVING, slow) == "sites/a"
    assert winner(replace(MOVING, second_value_micros=10), slow) == "sites/b"


def test_the_way_home_counts() -> None:
    """A site that is cheap to compute at and dear to fetch results from must not win by hiding the second."""
    job = replace(JOB, results=(Result("sites/b", 3 * MIB), Result("sites/b", MIB)))
    home = {("sites/a", "sites/b"): Path(("links/a-b",), 10, 10**8, 5)}
    now = replace(situation({"a": 5, "b": 26}), homes=home)
    candidate = decide(job, now).candidates[0]

    assert (candidate.site, candidate.transfer_micros) == ("sites/a", 4 * 5)
    assert [(route.end, route.bytes) for route in candidate.homes] == [("sites/b", 4 * MIB)]
    assert candidate.finish_ms > JOB.max_duration_s * 1000
    assert winner(job, replace(now, quotes=situation({"a": 5, "b": 24}).quotes)) == "sites/b"


def test_ways_home_over_one_link_can_all_be_held() -> None:
    """Two results that are each given the whole of the link they share would wait for each other for ever."""
    path = Path(("links/up", "links/x"), 10, 10**8)
    homes = [
        PlannedTransfer(f"sites/{end}", replace(path, links=("links/up", f"links/{end}")), 2**30, 10**8)
        for end in "bcd"
    ]
    rates = [home.rate_bps for home in ways_home(homes)]

    assert sum(rates) <= 10**8
    assert min(rates) >= 33 * 10**6


def test_a_site_that_results_cannot_leave_is_no_place() -> None:
    """A job that runs where nothing leads home from is paid for in vain."""
    job = replace(JOB, results=(Result("sites/b", MIB),))
    now = situation({"a": 1, "b": 9})
    obstacle = next(c.obstacle for c in decide(job, now).candidates if c.site == "sites/a")

    assert winner(job, now) == "sites/b"
    assert obstacle is not None
    assert (obstacle.code, obstacle.resource, obstacle.facts) == ("NO_PATH", "sites/a", {"target": "sites/b"})


def test_a_way_home_that_is_full_now_does_not_keep_a_job_out() -> None:
    """Results wait for their way; by the time there are any, who fills it now may be done."""
    job = replace(JOB, results=(Result("sites/b", MIB),))
    full = replace(situation({"a": 1}), homes={("sites/a", "sites/b"): Path(("links/a-b",), 10, 0, 5)})

    assert winner(job, full) == "sites/a"


def test_a_budget_is_for_all_attempts_together() -> None:
    """A job that is tried again must not cost a multiple of what its owner allowed."""
    now = replace(situation({"a": 6}), spent_micros=5)
    obstacle = decide(replace(JOB, budget_micros=10), now).candidates[0].obstacle

    assert obstacle is not None
    assert (obstacle.code, obstacle.needed, obstacle.available) == ("BUDGET", 11, 10)
    assert winner(replace(JOB, budget_micros=11), now) == "sites/a"
    change = verdict(replace(JOB, budget_micros=10), now).change
    assert change is not None
    assert (change.field, change.after) == ("constraints.budget_micros", "11")


def test_equals_are_decided_by_name() -> None:
    """Two schedulers that decide the same job must not disagree."""
    assert winner(JOB, situation({"b": 6, "a": 6})) == "sites/a"


@settings(deadline=None)
@given(
    size=st.integers(0, 2**60),
    bps=st.integers(1, 2**63 - 1),
    price=st.integers(0, 2**63 - 1),
    compute=st.integers(0, 2**61),
    second_value=st.integers(0, 10**10),
    seconds=st.integers(1, 86_400),
    count=st.integers(1, 1000),
)
def test_no_number_is_too_large_to_be_told(
    size: int, bps: int, price: int, compute: int, second_value: int, seconds: int, count: int
) -> None:
    """One job with absurd numbers must get an obstacle; a decision that cannot be written down stops all others."""
    need = Need("datasets/d", size, frozenset({"sites/d"}))
    job = replace(JOB, needs=(need, need), second_value_micros=second_value, max_duration_s=seconds, count=count)
    paths: dict[tuple[str, str], Path | Blocked] = {("sites/d", "sites/a"): Path(("links/l",), 10, bps, price)}
    now = replace(situation({"a": compute}), paths=paths)
    results = replace(job, results=(Result("sites/b", size), Result("sites/b", size)))
    now = replace(now, homes={("sites/a", "sites/b"): Path(("links/h",), 10, bps, price)})
    for limits in (job, results, replace(job, deadline=NOW, budget_micros=1), replace(job, deadline=NOW)):
        told = wire.decision_to(verdict(limits, now))

        assert told.candidates[0].HasField("obstacle") or told.candidates[0].cost_micros <= now.free_micros


pools_drawn = st.lists(
    st.tuples(st.integers(0, 6000), st.integers(0, 3), st.integers(1, 4), st.integers(0, 3), st.booleans()),
    min_size=1, max_size=6,
)  # fmt: skip


def drawn_situation(drawn: list[tuple[int, int, int, int, bool]], free_micros: int) -> Situation:
    sites = [f"s{i}" for i in range(len(drawn))]
    now = situation(
        {site: each[2] for site, each in zip(sites, drawn, strict=True)},
        *(pool(site, host("h", each[0], each[1])) for site, each in zip(sites, drawn, strict=True)),
    )
    paths: dict[tuple[str, str], Path | Blocked] = {
        ("sites/d", f"sites/{site}"): Path((f"links/{site}",), each[3], 10**7)
        if each[4]
        else Blocked("bandwidth", f"links/{site}", 10)
        for site, each in zip(sites, drawn, strict=True)
    }
    return replace(now, paths=paths, free_micros=free_micros)


@settings(deadline=None)
@given(pools_drawn, st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_of_what_is_read_is_nothing(
    drawn: list[tuple[int, int, int, int, bool]], free_micros: int, random: object
) -> None:
    """A decision that depends on the order in which etcd answers cannot be explained or repeated."""
    now = drawn_situation(drawn, free_micros)
    mixed = list(now.pools)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    other = replace(now, pools=tuple(mixed), paths=dict(reversed(now.paths.items())))
    assert verdict(MOVING, now) == verdict(MOVING, other) == verdict(MOVING, now)


@settings(deadline=None)
@given(pools_drawn, st.integers(0, 5))
def test_every_pool_is_chosen_or_has_an_obstacle(
    drawn: list[tuple[int, int, int, int, bool]], free_micros: int
) -> None:
    """A candidate that is silently left out is one that nobody can ask about."""
    now = drawn_situation(drawn, free_micros)
    found = decide(MOVING, now)
    fitting = [c for c in found.candidates if c.obstacle is None]
    assert {c.pool for c in found.candidates} == {p.name for p in now.pools}
    assert found.chosen == (fitting[0] if fitting else None)
    assert all(fitting[0].rank <= other.rank for other in fitting)


cards = st.builds(Device, st.just("gpu"), st.sampled_from("ab"), st.integers(1, 4), st.just(GIB))
hosts_drawn = st.lists(
    st.tuples(st.integers(0, 8000), st.integers(0, 8), st.lists(cards, max_size=2, unique_by=lambda c: c.model)),
    min_size=1, max_size=3,
)  # fmt: skip
device_asks = st.lists(st.tuples(st.sampled_from([(), ("a",), ("b",)]), st.integers(1, 3)), max_size=2)
asks_drawn = st.lists(
    st.tuples(st.integers(1, 3000), st.integers(1, 4), device_asks, st.integers(1, 5)), max_size=6
)  # fmt: skip


def an_ask(cpu_milli: int, memory: int, devices: list[tuple[tuple[str, ...], int]]) -> Ask:
    return Ask(cpu_milli, memory * GIB, 0, tuple(DeviceAsk("gpu", models, count, 0) for models, count in devices))


@settings(max_examples=300, deadline=None)
@given(hosts_drawn, asks_drawn)
def test_no_host_is_ever_oversold(hosts: list[tuple[int, int, list[Device]]], jobs: list[tuple]) -> None:
    """Two tasks on one core, or on one card, each run at half of what was paid for."""
    capacities = [(f"h{i}", Capacity(cpu, memory * GIB, 0, tuple(c))) for i, (cpu, memory, c) in enumerate(hosts)]
    booked: list[Booked] = []
    for number, (cpu, memory, devices, count) in enumerate(jobs):
        free = free_hosts("p", capacities, booked)
        ask = an_ask(cpu, memory, devices)
        found = slots(ask, free, count)
        assert room(found) <= count
        if found:
            first = next(each for each in free if each.name == found[0][0])
            booked.append(Booked(f"placements/{number}", "p", found, taken(ask, first)))
    for each in free_hosts("p", capacities, booked):
        left = (each.free.cpu_milli, each.free.memory_bytes, *(card.count for card in each.free.devices))
        assert min(left) >= 0, each


@settings(deadline=None)
@given(device_asks, hosts_drawn)
def test_no_card_serves_two_asks(devices: list[tuple[tuple[str, ...], int]], hosts: list) -> None:
    """A task that was promised three cards and finds two cannot start."""
    ask = an_ask(1, 0, devices)
    for cpu, memory, drawn in hosts:
        one = one_task(ask, Capacity(cpu, memory * GIB, 0, tuple(drawn)))
        if one is not None:
            assert sum(card.count for card in one.devices) == sum(count for _, count in devices)


def test_asks_that_share_models_each_get_their_own_card() -> None:
    """A host with a card for each ask would be passed over, or one card be counted for both."""
    one, other = Device("gpu", "a", 1), Device("gpu", "b", 1)
    anything, only_a = DeviceAsk("gpu", (), 1, 0), DeviceAsk("gpu", ("a",), 1, 0)
    for asks in ((anything, only_a), (anything, anything)):
        fits = one_task(Ask(1, 1, devices=asks), Capacity(10, 10, 0, (one, other)))
        assert fits is not None
        assert {card.model for card in fits.devices} == {"a", "b"}
        assert one_task(Ask(1, 1, devices=asks), Capacity(10, 10, 0, (one,))) is None


def test_small_work_leaves_the_hosts_with_many_cards_whole() -> None:
    """A job for eight cards would wait for good where each host with eight has one taken, or its cores."""
    sizes = {"a": 8, "b": 1, "c": 0, "d": 8}
    capacities = [(n, Capacity(8000, GIB, 0, (Device("gpu", "a", k),) * (k > 0))) for n, k in sizes.items()]
    booked: list[Booked] = []
    for number, cards in enumerate((0, 1, 1, 8)):
        ask = an_ask(1000, 0, [((), cards)] * (cards > 0))
        free = free_hosts("p", capacities, booked)
        found = slots(ask, free, 1)
        first = next(each for each in free if each.name == found[0][0])
        booked.append(Booked(f"placements/{number}", "p", found, taken(ask, first)))
    assert [booking.hosts[0][0] for booking in booked] == ["c", "b", "a", "d"]


def test_a_placement_lies_on_a_bounded_number_of_hosts() -> None:
    """A gang over hundreds of hosts would not fit into its document, and never be placed."""
    many = [host(f"h{n}", cpu_milli=1000) for n in range(100)]
    assert len(slots(JOB.ask, many, 100)) == HOSTS_MAX


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 100), st.integers(1, 10**10), st.sets(st.sampled_from("xyz"), min_size=1)),
        min_size=1, max_size=4,
    ),
    st.integers(1, 30),
)  # fmt: skip
def test_routes_over_one_link_stay_within_it(drawn: list[tuple[int, int, set[str]]], least: int) -> None:
    """The second hold over the link would be refused again and again, and the job never start."""
    routes = [
        PlannedTransfer(f"sites/{i}", Path(tuple(sorted(over)), 1, bps), size, bps)
        for i, (bps, size, over) in enumerate(drawn)
        if bps >= least
    ]
    found = shared(routes, least)
    if isinstance(found, Blocked):
        assert found.available_bps < least
        return
    for link in "xyz":
        over = [route for route in found if link in route.path.links]
        assert sum(route.rate_bps for route in over) <= max((r.path.available_bps for r in over), default=0)
    assert all(least <= now.rate_bps <= before.rate_bps for now, before in zip(found, routes, strict=True))
