"""Obstacles name what binds, and the change that is named admits the job when it is applied."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh_kernel.cards import DeviceAsk
from suanmesh_kernel.quantities import Capacity, Device
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.decide import decide
from suanmesh_scheduler.domain.relax import with_change
from suanmesh_scheduler.domain.values import (
    AdmittingChange,
    Ask,
    Blocked,
    Host,
    JobSpec,
    MonthBudget,
    Need,
    Obstacle,
    Offer,
    Opening,
    PartyBudget,
    Path,
    Pool,
    Quote,
    Situation,
    Variant,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GIB = 1 << 30
JOB = JobSpec(Ask(1000, GIB), "accounts/a")
NEED = Need("datasets/d", 1 << 30, frozenset({"sites/d"}))
PAIR = ("sites/d", "sites/a")


def host(name: str, cpu_milli: int = 4000, memory: int = 8, *cards: Device) -> Host:
    capacity = Capacity(cpu_milli, memory * GIB, 0, cards)
    return Host(name, capacity, capacity)


def pool(*hosts: Host, **fields: object) -> Pool:
    name = "sites/a/pools/p"
    offers = (Offer(f"{name}/offers/o", "priceBooks/a", max_duration_s=7200),)
    return replace(Pool(name, "sites/a", "x86_64", hosts or (host("h"),), offers), **fields)  # type: ignore[arg-type]


def situation(*pools: Pool, **fields: object) -> Situation:
    quotes = {offer.name: Quote(100) for each in pools for offer in each.offers}
    return replace(Situation(pools, NOW, 10**9, {}, quotes), **fields)  # type: ignore[arg-type]


def told(job: JobSpec, now: Situation) -> tuple[Obstacle, AdmittingChange | None]:
    found = with_change(decide(job, now), job, now)
    obstacle = found.candidates[0].obstacle
    assert obstacle is not None
    return obstacle, found.change


def applied(job: JobSpec, now: Situation, change: AdmittingChange) -> tuple[JobSpec, Situation]:
    """The change as a user would make it, by nothing but its field and its text."""
    path, after = change.field.split("."), change.after
    names = frozenset(after.split(", ")) if after else frozenset()
    match path:
        case ["ask", measure] if measure in ("cpu_milli", "memory_bytes", "scratch_bytes"):
            return replace(job, ask=replace(job.ask, **{measure: int(after)})), now  # type: ignore[arg-type]
        case ["ask", "devices[0]", "count"]:
            return replace(job, ask=replace(job.ask, devices=(replace(job.ask.devices[0], count=int(after)),))), now
        case ["ask", "min_capability[0]", "value"]:
            return replace(job, ask=replace(job.ask, min_capability=(("score", int(after)),))), now
        case ["task", "count"]:
            return replace(job, count=int(after)), now
        case ["max_duration_s"]:
            return replace(job, max_duration_s=int(after)), now
        case ["constraints", "deadline"]:
            return replace(job, deadline=datetime.fromisoformat(after)), now
        case ["constraints", ("allow_sites" | "deny_sites" | "residency") as field]:
            return replace(job, **{field: names}), now  # type: ignore[arg-type]
        case ["constraints", field]:
            relaxed = replace(job, **{field: int(after)})  # type: ignore[arg-type]
            opened = [o for o in now.openings.get("sites/a", ()) if (o.field, o.value) == (field, int(after))]
            return relaxed, replace(now, paths={**now.paths, **opened[0].paths}) if opened else now
        case ["accounts/a", "budget", "amount_micros"]:
            assert now.month is not None
            return job, replace(now, free_micros=now.free_micros + int(after) - now.month.amount_micros)
        case ["parties/p", "budget", "amount_micros"]:
            budget = now.party_budget
            assert budget is not None
            left = budget.left_micros + int(after) - budget.amount_micros
            return job, replace(now, party_budget=replace(budget, amount_micros=int(after), left_micros=left))
        case ["accounts/a", "balance_micros"]:
            return job, replace(now, free_micros=int(after) - now.held_micros)
    raise AssertionError(change.field)


CASES: dict[str, tuple[JobSpec, Situation, str, str]] = {
    "cpu": (replace(JOB, ask=Ask(9000, GIB)), situation(pool()), "CPU", "ask.cpu_milli"),
    "memory": (replace(JOB, ask=Ask(1000, 9 * GIB)), situation(pool()), "MEMORY", "ask.memory_bytes"),
    "cards": (
        replace(JOB, ask=Ask(1, 1, devices=(DeviceAsk("gpu", (), 3, 0),))),
        situation(pool(host("h", 4000, 8, Device("gpu", "a", 1), Device("gpu", "b", 1)))),
        "DEVICE", "ask.devices[0].count",
    ),
    "gang": (replace(JOB, count=5, gang=True), situation(pool()), "CPU", "ask.cpu_milli"),
    "smaller gang": (
        replace(JOB, ask=Ask(1, 2 * GIB), count=5, gang=True), situation(pool()), "MEMORY", "task.count",
    ),
    "capability": (
        replace(JOB, ask=replace(JOB.ask, min_capability=(("score", 10),))),
        situation(pool(capabilities={"score": 7})), "CAPABILITY", "ask.min_capability[0].value",
    ),
    "budget": (replace(JOB, budget_micros=40), situation(pool()), "BUDGET", "constraints.budget_micros"),
    "balance": (
        JOB, situation(pool(), free_micros=30, held_micros=50), "BALANCE", "accounts/a.balance_micros",
    ),
    "budget of the month": (
        JOB, replace(situation(pool(), free_micros=30), month=MonthBudget(200, NOW)), "MONTH_BUDGET",
        "accounts/a.budget.amount_micros",
    ),
    "budget of the party": (
        JOB, replace(situation(pool()), party_budget=PartyBudget("parties/p", "CNY", 200, 30, NOW)), "PARTY_BUDGET",
        "parties/p.budget.amount_micros",
    ),
    "duration": (replace(JOB, max_duration_s=9000), situation(pool()), "DURATION", "max_duration_s"),
    "deadline": (
        replace(JOB, deadline=NOW + timedelta(seconds=10)), situation(pool()), "DEADLINE", "constraints.deadline",
    ),
    "denied": (
        replace(JOB, deny_sites=frozenset({"sites/a"})), situation(pool()), "SITE_DENIED", "constraints.deny_sites",
    ),
    "not allowed": (
        replace(JOB, allow_sites=frozenset({"sites/z"})), situation(pool()), "SITE_DENIED", "constraints.allow_sites",
    ),
    "residency": (
        replace(JOB, residency=frozenset({"us"})), situation(pool(residency=frozenset({"cn", "hk"}))),
        "RESIDENCY", "constraints.residency",
    ),
    "bandwidth": (
        replace(JOB, needs=(NEED,), min_bandwidth_bps=10**8),
        situation(
            pool(), paths={PAIR: Blocked("bandwidth", "links/x", 10**7)},
            openings={"sites/a": (Opening("min_bandwidth_bps", 10**7, {PAIR: Path(("links/x",), 5, 10**7, 1)}),)},
        ),
        "BANDWIDTH", "constraints.min_bandwidth_bps",
    ),
    "latency": (
        replace(JOB, needs=(NEED,), max_latency_us=5),
        situation(
            pool(), paths={PAIR: Blocked("latency", least_latency_us=8)},
            openings={"sites/a": (Opening("max_latency_us", 8, {PAIR: Path(("links/x",), 8, 10**9, 1)}),)},
        ),
        "LATENCY", "constraints.max_latency_us",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=list(CASES))
def test_the_change_that_is_named_admits(case: str) -> None:
    """A user who does what the system said and waits again has been lied to."""
    job, now, code, field = CASES[case]
    obstacle, change = told(job, now)
    assert (obstacle.code, change.field if change else None) == (code, field)
    assert change is not None
    assert change.before != change.after
    assert decide(*applied(job, now, change)).chosen is not None


hosts_drawn = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 8)), min_size=1, max_size=4)


@settings(deadline=None)
@given(
    st.lists(hosts_drawn, min_size=1, max_size=3), st.integers(1, 5000), st.integers(1, 9), st.integers(1, 6),
    st.booleans(), st.integers(0, 150), st.integers(0, 150),
)  # fmt: skip
def test_whatever_change_is_named_admits(
    drawn: list[list[tuple[int, int]]], cpu: int, memory: int, count: int, gang: bool, budget: int, free: int
) -> None:
    """The same for situations nobody thought of."""
    pools = tuple(
        replace(pool(*(host(f"h{n}", *each) for n, each in enumerate(hosts))), name=f"sites/a/pools/p{i}")
        for i, hosts in enumerate(drawn)
    )
    now = situation(*pools, free_micros=free, held_micros=7)
    job = replace(JOB, ask=Ask(cpu, memory * GIB), count=count, gang=gang, budget_micros=budget)
    found = with_change(decide(job, now), job, now)
    if found.change is not None:
        chosen = decide(*applied(job, now, found.change)).chosen
        assert chosen is not None
        assert chosen.pool == found.change.pool


def test_a_path_whose_price_is_not_known_is_not_promised() -> None:
    """The cheapest path under a lower bound may cost more than the budget has."""
    job = replace(JOB, needs=(NEED,), min_bandwidth_bps=10**8, budget_micros=110)
    dear = Opening("min_bandwidth_bps", 10**7, {PAIR: Path(("links/x",), 5, 10**7, 1)})
    blocked = situation(pool(), paths={PAIR: Blocked("bandwidth", "links/x", 10**7)})
    assert told(job, blocked)[1] is None
    assert told(job, replace(blocked, openings={"sites/a": (dear,)}))[1] is None


def test_every_host_is_tried() -> None:
    """The host with the most memory may have no core left; the change must be one that another can take."""
    now = situation(pool(host("busy", 0, 4), host("small", 4000, 2)))
    _, change = told(replace(JOB, ask=Ask(1000, 8 * GIB)), now)
    assert change is not None
    assert (change.field, change.after) == ("ask.memory_bytes", str(2 * GIB))


def test_the_obstacle_is_what_the_nearest_host_lacks() -> None:
    """ "8 GiB needed, 16 GiB free" tells a user nothing."""
    now = situation(pool(host("cores", 4000, 1), host("memory", 500, 16)))
    obstacle, _ = told(replace(JOB, ask=Ask(2000, 8 * GIB)), now)
    assert (obstacle.code, obstacle.needed, obstacle.available) == ("CPU", 2000, 500)
    assert obstacle.facts == {"host": "memory"}


def test_a_gang_that_lacks_memory_says_memory() -> None:
    """Whoever buys cores for a job that lacks memory buys in vain."""
    obstacle, _ = told(replace(JOB, ask=Ask(10, 3 * GIB), count=3, gang=True), situation(pool()))
    assert (obstacle.code, obstacle.needed, obstacle.available) == ("MEMORY", 9 * GIB, 6 * GIB)


def test_a_deadline_that_has_passed_is_told_as_such() -> None:
    """ "The deadline is in -217920915239" is read as a defect, and tells nobody what to change."""
    obstacle, change = told(replace(JOB, deadline=NOW - timedelta(days=3)), situation(pool()))

    assert (obstacle.code, obstacle.available) == ("DEADLINE_PASSED", 0)
    assert obstacle.facts == {"deadline": "2025-12-29T00:00:00Z"}
    assert change is not None
    assert change.field == "constraints.deadline"


def test_a_later_deadline_leaves_time_to_ask_for_it() -> None:
    """A deadline that has passed by the time it is typed admits nothing."""
    job, now, *_ = CASES["deadline"]
    _, change = told(job, now)
    assert change is not None
    assert change.after.endswith("Z")
    asked_later = replace(now, now=NOW + timedelta(seconds=50))
    assert decide(replace(job, deadline=datetime.fromisoformat(change.after)), asked_later).chosen is not None


@pytest.mark.parametrize(
    ("job", "fields", "code"),
    [
        (replace(JOB, variants=(Variant("aarch64"),)), {}, "ARCHITECTURE"),
        (replace(JOB, variants=(Variant(runtime="r"),)), {}, "RUNTIME"),
        (replace(JOB, refused_by=frozenset({"sites/a"})), {}, "REFUSED_BY_SITE"),
        (JOB, {"active": False}, "POOL_PHASE"),
        (JOB, {"alive": False}, "SITE_NOT_ALIVE"),
        (JOB, {"offers": ()}, "NO_OFFER"),
        (replace(JOB, needs=(Need("datasets/d", 1, frozenset()),)), {}, "NO_REPLICA"),
        (replace(JOB, needs=(NEED,)), {}, "NO_PATH"),
        (replace(JOB, needs=(replace(NEED, residency=frozenset({"us"})),)), {}, "DATA_RESIDENCY"),
    ],
)
def test_what_nobody_can_relax_has_an_obstacle_and_no_promise(
    job: JobSpec, fields: dict[str, object], code: str
) -> None:
    """A change that the user cannot make, or that would not help, is worse than none."""
    obstacle, change = told(job, situation(pool(**fields)))
    assert (obstacle.code, change) == (code, None)


def test_the_time_that_passes_makes_no_new_answer() -> None:
    """A job too late for its deadline would be decided, written and archived again as fast as the scheduler can."""
    job = replace(JOB, deadline=NOW + timedelta(seconds=10))
    looks = [situation(pool(), now=NOW + timedelta(seconds=passed)) for passed in (0, 1, 9)]
    first, *later = [wire.decision_to(with_change(decide(job, look), job, look)) for look in looks]
    assert first.candidates[0].obstacle.available != later[0].candidates[0].obstacle.available
    assert all(wire.same_answer(first, other) for other in later)
    longer = replace(job, max_duration_s=job.max_duration_s + 1)
    assert not wire.same_answer(first, wire.decision_to(decide(longer, looks[0])))
