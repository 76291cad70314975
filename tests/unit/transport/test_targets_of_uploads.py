"""Which site takes what a user brings, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from suanmesh_kernel.refusals import FailedPrecondition
from suanmesh_transport.domain.datasets import Dataset
from suanmesh_transport.domain.targets import Choice, Leanings, chosen_target
from suanmesh_transport.domain.transfers import Place

DATASET = Dataset("datasets/d", "parties/acme", "ab" * 32, 1000, 2, (), (), datetime(2026, 1, 1, tzinfo=UTC))


def a_place(site: str, at: tuple[float, float] = (0.0, 0.0), **fields: Any) -> Place:
    values = {"endpoint": "h:1", "agent": f"agent-{site}", "alive": True, "lost": False, "party": "parties/p", **fields}
    return Place(site=f"sites/{site}", latitude=at[0], longitude=at[1], **values)


HOME = frozenset({"sites/s"})
SHANGHAI, GUIYANG, HEFEI = (31.2, 121.5), (26.6, 106.7), (31.8, 117.2)
OWN = "parties/own"


@pytest.mark.parametrize(
    ("places", "asked", "site", "choice"),
    [
        ([a_place("a"), a_place("b")], {}, "sites/a", Choice.FIRST),
        ([a_place("a", GUIYANG), a_place("b", HEFEI)], {"homes": HOME}, "sites/b", Choice.NEAREST),
        ([a_place("a"), a_place("b", HEFEI)], {"homes": HOME}, "sites/b", Choice.NEAREST),
        ([a_place("a", HEFEI, alive=False), a_place("b", GUIYANG)], {"homes": HOME}, "sites/b", Choice.NEAREST),
        ([a_place("a", HEFEI), a_place("b", GUIYANG, party=OWN)], {"homes": HOME}, "sites/b", Choice.OWN),
        ([a_place("a", party=OWN), a_place("b")], {"default": "sites/b"}, "sites/b", Choice.DEFAULT),
        ([a_place("a", party=OWN), a_place("b", closed=True)], {"default": "sites/b"}, "sites/a", Choice.OWN),
        ([a_place("a"), a_place("b")], {"default": "sites/b", "rather": ["sites/a"]}, "sites/a", Choice.HAS_IT),
        ([a_place("a"), a_place("b")], {"default": "sites/b", "wanted": "sites/a"}, "sites/a", Choice.NAMED),
        ([a_place("a"), a_place("b")], {"rather": ["sites/b"]}, "sites/b", Choice.HAS_IT),
        ([a_place("a"), a_place("b")], {"wanted": "sites/b"}, "sites/b", Choice.NAMED),
        ([a_place("a", closed=True), a_place("b")], {}, "sites/b", Choice.FIRST),
        ([a_place("a"), a_place("b")], {"but": ["sites/a"]}, "sites/b", Choice.FIRST),
    ],
)  # fmt: skip
def test_data_goes_to_the_site_that_its_owner_would_choose(
    places: list[Place], asked: dict[str, Any], site: str, choice: Choice
) -> None:
    """Data that lies a thousand kilometres away is paid for with every job that reads it."""
    given = {name: asked[name] for name in ("wanted", "but") if name in asked} | {"rather": asked.get("rather", ())}
    leanings = Leanings(asked.get("default", ""), asked.get("homes", frozenset()))
    home = a_place("s", SHANGHAI, closed=True)
    dataset = replace(DATASET, party=OWN)
    target = chosen_target(dataset, [*places, home], leanings=leanings, **given)
    assert (target.place.site, target.choice) == (site, choice)
    assert (target.distance_km > 0) is (choice is Choice.NEAREST)


def test_the_distance_is_that_over_the_earth() -> None:
    """Degrees are not kilometres: the nearest by number may lie a country away."""
    places = [a_place("g", GUIYANG), a_place("s", SHANGHAI, closed=True)]
    target = chosen_target(DATASET, places, rather=(), leanings=Leanings(homes=HOME))
    assert 1480 <= target.distance_km <= 1560


def test_a_closed_site_that_is_named_is_refused() -> None:
    """Who drains a site would never see its end."""
    with pytest.raises(FailedPrecondition) as refused:
        chosen_target(DATASET, [a_place("a", closed=True)], wanted="sites/a", rather=())
    assert refused.value.reason == "SITE_NOT_REACHABLE"
    assert "takes nothing new" in refused.value.message


@pytest.mark.parametrize(
    ("latencies_us", "site", "latency_us"),
    [
        ({"a": 4_000, "b": 40_000}, "sites/a", 4_000),
        ({"a": 40_000, "b": 4_000}, "sites/b", 4_000),
        ({"a": 4_000, "b": 4_100}, "sites/b", 4_100),
        ({"a": 4_000}, "sites/a", 4_000),
    ],
)
def test_near_is_what_is_reached_soon(latencies_us: dict[str, int], site: str, latency_us: int) -> None:
    """The site across the river may be reached by way of another province; two measurements differ a little."""
    places = [a_place("a", GUIYANG), a_place("b", HEFEI), a_place("s", SHANGHAI, closed=True)]
    measured = {("sites/s", f"sites/{name}"): value for name, value in latencies_us.items()}
    target = chosen_target(DATASET, places, rather=(), leanings=Leanings(homes=HOME, latencies_us=measured))
    assert (target.place.site, target.choice, target.latency_us) == (site, Choice.NEAREST, latency_us)


def test_a_site_there_is_none_of_is_told_from_one_that_is_away() -> None:
    """Who has mistyped a name would wait for a site to come back that never was."""
    with pytest.raises(FailedPrecondition, match="sites/aa is not here: no site of that name has joined"):
        chosen_target(DATASET, [a_place("a")], wanted="sites/aa", rather=())
