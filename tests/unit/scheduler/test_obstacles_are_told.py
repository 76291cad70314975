"""Every obstacle reaches its reader whole: as code and facts, in words of both languages, and counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.scheduler.v1.reason_pb2 import ObstacleCode
from suanmesh_kernel.cards import DeviceAsk
from suanmesh_kernel.owner_limits import OwnerLimits, WorkKind
from suanmesh_kernel.quantities import Capacity, Device
from suanmesh_kernel.reasons import StateReason
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.decide import decide, verdict_of, weigh
from suanmesh_scheduler.domain.shortlist import obstacle_counts, shortlist
from suanmesh_scheduler.domain.values import (
    Ask,
    Blocked,
    Candidate,
    Failing,
    Host,
    JobSpec,
    MonthBudget,
    Need,
    Obstacle,
    Offer,
    OwnersTerms,
    PartyBudget,
    Path,
    Pool,
    Quote,
    Situation,
    Variant,
)
from suanmesh_sdk.advice import STATE_REASONS
from suanmesh_sdk.obstacles import OBSTACLES, obstacle_words
from suanmesh_sdk.state_reasons import words

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME = "sites/a/pools/p"
CARDS = (Device("gpu", "A", 2, 1 << 30),)
HOST = Host("h", Capacity(4000, 1 << 33, 1 << 30, CARDS), Capacity(4000, 1 << 33, 1 << 30, CARDS))
NARROW = Host("n", Capacity(9000, 1 << 20, 0), Capacity(9000, 1 << 20, 0))
POOL = Pool(NAME, "sites/a", "x86_64", (HOST,), (Offer("o", "priceBooks/a", max_duration_s=7200),))
JOB = JobSpec(Ask(1000, 1 << 20), "accounts/a")
NEED = Need("datasets/d", 1 << 20, frozenset({"sites/d"}))
WAY = ("sites/d", "sites/a")
SITUATION = Situation((POOL,), NOW, 1000, quotes={"o": Quote(100)})
BROKEN = Failing(3, NOW, StateReason("DISK_FULL", {"detail": "No space left"}))

GUEST = replace(JOB, party="parties/guest")
OPEN_TO_ALL = OwnersTerms("parties/owner", OwnerLimits())
ONLY_A = replace(OPEN_TO_ALL, limits=OwnerLimits(parties=frozenset({"parties/a"})))
NO_ARRAYS = replace(OPEN_TO_ALL, limits=OwnerLimits(refused_kinds=frozenset({WorkKind.ARRAY})))
A_QUARTER = OwnersTerms(
    "parties/owner", OwnerLimits(party_share_milli=250), whole=Capacity(4000, 1 << 33),
    held={"parties/guest": Capacity(1000)},
)  # fmt: skip


def asking(**fields: object) -> JobSpec:
    return replace(JOB, ask=replace(JOB.ask, **fields))  # type: ignore[arg-type]


def there(**fields: object) -> Situation:
    return replace(SITUATION, pools=(replace(POOL, **fields),))  # type: ignore[arg-type]


MOVING = replace(JOB, needs=(NEED,), max_latency_us=7)
CASES: dict[str, tuple[JobSpec, Situation, str, str]] = {
    "architecture": (replace(JOB, variants=(Variant("aarch64"),)), SITUATION, "ARCHITECTURE", "x86_64"),
    "runtime": (replace(JOB, variants=(Variant(runtime="r"),)), SITUATION, "RUNTIME", "none of r"),
    "another runtime": (
        replace(JOB, variants=(Variant(runtime="python2"),)), there(runtimes=frozenset({"python3"})),
        "RUNTIME", "offers python3, none of python2",
    ),
    "cores": (asking(cpu_milli=5000), SITUATION, "CPU", "no host of sites/a/pools/p has more than 4 free"),
    "cores of the nearest": (
        replace(JOB, ask=Ask(5000, 1 << 21)), there(hosts=(HOST, NARROW)), "CPU", "h of sites/a/pools/p comes nearest",
    ),
    "memory": (asking(memory_bytes=1 << 34), SITUATION, "MEMORY", "16 GiB of memory"),
    "memory of a gang": (
        replace(asking(memory_bytes=1 << 32), count=3, gang=True), SITUATION, "MEMORY", "has room for 2",
    ),
    "scratch": (asking(scratch_bytes=1 << 31), SITUATION, "SCRATCH", "2 GiB of scratch disk"),
    "cards": (
        asking(devices=(DeviceAsk("gpu", ("B", "C"), 1, 0), DeviceAsk("gpu", (), 2, 0))), SITUATION,
        "DEVICE", "1 cards of B/C,",
    ),
    "cards of two asks": (
        asking(devices=(DeviceAsk("gpu", (), 1, 0), DeviceAsk("gpu", ("A",), 2, 0))), SITUATION,
        "DEVICE", "3 cards of gpu + A,",
    ),
    "denied": (replace(JOB, deny_sites=frozenset({"sites/a"})), SITUATION, "SITE_DENIED", "sites/a"),
    "residency": (replace(JOB, residency=frozenset({"eu", "cn"})), SITUATION, "RESIDENCY", "within cn, eu"),
    "residency of data": (
        replace(JOB, needs=(replace(NEED, residency=frozenset({"eu"})),)), SITUATION,
        "DATA_RESIDENCY", "datasets/d must stay within eu",
    ),
    "no way": (MOVING, SITUATION, "NO_PATH", "sites/d and sites/a"),
    "narrow": (
        MOVING, replace(SITUATION, paths={WAY: Blocked("bandwidth", "links/l", 5)}),
        "BANDWIDTH", "links/l has 5 bit/s left, 1 Mbit/s",
    ),
    "narrow for ever": (
        MOVING, replace(SITUATION, paths={WAY: Blocked("bandwidth", "links/l", 5, most_bps=999_999)}),
        "BANDWIDTH", "no way from sites/d to sites/a carries more than 999.999 kbit/s, 1 Mbit/s",
    ),
    "far": (MOVING, replace(SITUATION, paths={WAY: Blocked("latency", least_latency_us=9)}), "LATENCY", "9 µs away"),
    "late": (replace(JOB, deadline=NOW + timedelta(seconds=9)), SITUATION, "DEADLINE", "is in 9 s"),
    "too late": (
        replace(JOB, deadline=NOW - timedelta(days=1)), SITUATION, "DEADLINE_PASSED", "2025-12-31T00:00:00Z",
    ),
    "budget": (replace(JOB, budget_micros=60), SITUATION, "BUDGET", "the budget is 0.000060: 0.000040 missing"),
    "budget of a second attempt": (
        replace(JOB, budget_micros=110), replace(SITUATION, spent_micros=50), "BUDGET", "0.000050 of earlier attempts",
    ),
    "balance": (JOB, replace(SITUATION, free_micros=30), "BALANCE", "accounts/a has 0.000030 free: 0.000070 missing"),
    "budget of the month": (
        JOB, replace(SITUATION, free_micros=30, month=MonthBudget(200, NOW)),
        "MONTH_BUDGET", "budget of 0.000200 accounts/a has 0.000030 left: 0.000070 missing",
    ),
    "budget of the party": (
        JOB, replace(SITUATION, party_budget=PartyBudget("parties/p", "CNY", 200, 30, NOW)),
        "PARTY_BUDGET", "budget of 200 micros CNY parties/p has 30 left over all its accounts: 70 missing",
    ),
    "not heard": (JOB, there(alive=False), "SITE_NOT_ALIVE", "sites/a"),
    "not active": (JOB, there(active=False), "POOL_PHASE", NAME),
    "no offer": (JOB, there(offers=()), "NO_OFFER", NAME),
    "no price": (JOB, replace(SITUATION, quotes={}), "NO_PRICE", NAME),
    "refused": (replace(JOB, refused_by=frozenset({"sites/a"})), SITUATION, "REFUSED_BY_SITE", "sites/a"),
    "failing": (JOB, there(failing=BROKEN), "SITE_FAILING", "the last: DISK_FULL: "),
    "in trouble": (JOB, there(trouble=BROKEN.reason), "SITE_IN_TROUBLE", "(No space left)"),
    "cordoned": (JOB, there(closed=StateReason("SITE_DRAINING", {"detail": "fans"})), "SITE_CORDONED", "(fans)"),
    "a party kept out": (GUEST, there(terms=ONLY_A), "PARTY_NOT_ALLOWED", "no work of parties/guest"),
    "out of hours": (GUEST, there(terms=replace(OPEN_TO_ALL, opens=NOW)), "HOURS_CLOSED", "from 2026-01-01T00:00Z on"),
    "a kind kept out": (replace(GUEST, count=2), there(terms=NO_ARRAYS), "KIND_REFUSED", "the kind ARRAY"),
    "a share used up": (GUEST, there(terms=A_QUARTER), "PARTY_SHARE", "room for 0 more tasks, 1 needed"),
    "gone data": (replace(JOB, needs=(replace(NEED, sites=frozenset()),)), SITUATION, "NO_REPLICA", "datasets/d"),
    "weak": (asking(min_capability=(("flops", 9),)), SITUATION, "CAPABILITY", "flops of sites/a/pools/p is 0, 9"),
    "long": (replace(JOB, max_duration_s=9000), SITUATION, "DURATION", "run 2 h 30 min, no offer"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=list(CASES))
def test_an_obstacle_is_said_in_both_languages_with_its_facts(case: str) -> None:
    """A user would be told that something is missing, but not how much of what."""
    job, now, code, part = CASES[case]
    told = wire.candidate_to(weigh(job, now.pools[0], now)).obstacle
    assert ObstacleCode.Name(told.code) == f"OBSTACLE_CODE_{code}"
    assert part in obstacle_words(told)
    facts = {fact for fact in told.facts.values() if not fact.isdecimal()}
    assert [fact for fact in facts for lang in ("en", "zh") if fact not in obstacle_words(told, lang)] == []


def test_there_is_a_case_of_every_obstacle() -> None:
    """One that no case shows may lack a fact its sentence names."""
    assert {code for _, _, code, _ in CASES.values()} == set(OBSTACLES)


@pytest.mark.parametrize("terms", [ONLY_A, NO_ARRAYS, replace(OPEN_TO_ALL, opens=NOW), A_QUARTER])
def test_an_owner_is_not_bound_by_limits_for_others(terms: OwnersTerms) -> None:
    """The owner of a machine would wait outside it at night."""
    own = replace(JOB, party="parties/owner", count=2)
    assert weigh(own, *_at(there(terms=terms))).obstacle is None


def test_of_many_tasks_only_the_share_runs_at_a_time() -> None:
    """A guest's sweep would be refused whole by the site, though a part of it may run."""
    terms = replace(A_QUARTER, limits=OwnerLimits(party_share_milli=750))
    found = weigh(replace(GUEST, count=9), *_at(there(terms=terms)))
    assert (found.obstacle, found.slots) == (None, (("h", 2),))
    assert weigh(replace(GUEST, count=3, gang=True), *_at(there(terms=terms))).obstacle is not None


def _at(situation: Situation) -> tuple[Pool, Situation]:
    return situation.pools[0], situation


def test_both_languages_name_the_same_facts() -> None:
    """A reader of Chinese would miss what a reader of English is told, or read it in other units."""
    texts = [*STATE_REASONS.values(), *(text for each in OBSTACLES.values() for text in each.sentences)]
    assert [text for text in texts if _figures(text.en) != _figures(text.zh)] == []


def _figures(text: str) -> set[tuple[str, str | None]]:
    return {(name, kind) for _, name, kind, _ in Formatter().parse(text) if name}


def test_what_a_newer_scheduler_says_is_shown_as_it_is() -> None:
    """A client of last year would hide the obstacle that this year's scheduler knows."""
    told = wire.decision_pb2.Obstacle(resource="sites/a", needed=7, facts={"odd": "x"})
    assert obstacle_words(told) == "UNSPECIFIED: needed 7, odd x, resource sites/a"


PAIRS = {
    "ONLY_FIT": (Quote(100), None, Path(("links/l",), 5, 10**9), {}),
    "BETTER_SCORE": (Quote(100), Quote(140), Path(("links/l",), 5, 10**9), {}),
    "NEARER": (Quote(100), Quote(100), Path(("links/l",), 9, 10**9), {}),
    "FIRST_BY_NAME": (Quote(100), Quote(100), Path(("links/l",), 5, 10**9), {}),
    "FEWER_SETBACKS": (Quote(140), Quote(100), Path(("links/l",), 5, 10**9), {"sites/b": 1}),
}


@pytest.mark.parametrize("code", PAIRS)
def test_why_the_winner_won_is_its_cause(code: str) -> None:
    """Whoever pays for the dearer of two pools asks why."""
    first, second, path, setbacks = PAIRS[code]
    other = replace(POOL, name="sites/b/pools/p", site="sites/b", offers=(Offer("o2", "priceBooks/b"),))
    paths = {WAY: Path(("links/k",), 5, 10**9), ("sites/d", "sites/b"): path}
    quotes = {"o": first} | ({"o2": second} if second else {})
    now = replace(SITUATION, pools=(other, POOL), paths=paths, quotes=quotes)
    reason = wire.decision_to(decide(replace(JOB, needs=(NEED,), setbacks=setbacks), now)).reason
    assert (reason.code, reason.facts["pool"], [c.code for c in reason.causes]) == ("CHOSEN", NAME, [code])
    for lang in ("en", "zh"):
        assert "?" not in words(reason, lang)
        assert all(value in words(reason, lang) for cause in reason.causes for value in cause.facts.values())


codes = st.sampled_from(["", "CPU", "MEMORY", "BALANCE", "NO_PATH"])


@given(st.lists(codes, max_size=40), st.integers(1, 20))
def test_a_short_list_shows_the_best_and_each_obstacle_and_the_counts_cover_all(drawn: list[str], most: int) -> None:
    """What is left out of ten thousand pools must not be the one thing that explains the answer."""
    weighed = [
        Candidate(f"p{n:02d}", "sites/a", score_micros=n, obstacle=Obstacle(code) if code else None)
        for n, code in enumerate(drawn)
    ]
    verdict = verdict_of(weighed)
    listed = list(shortlist(verdict.candidates, most))
    fitting = [c for c in verdict.candidates if c.obstacle is None]
    assert len(listed) == min(most, len(weighed))
    assert listed == [c for c in verdict.candidates if c in listed]
    assert listed[: len(fitting)] == fitting[:most]
    if len(fitting) + len(set(drawn) - {""}) <= most:
        assert {c.obstacle.code for c in listed if c.obstacle} == set(drawn) - {""}
    counted = obstacle_counts(verdict.candidates)
    assert dict(counted) == Counter(code for code in drawn if code)
    assert [count for _, count in counted] == sorted((count for _, count in counted), reverse=True)
