"""The picture of a topology: the same for the same links, whole XML, near what is near, red what is full."""

from __future__ import annotations

import math
import random
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from suanmesh.network_orchestrator.v1.link_pb2 import Link
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh_cli.render import topology

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ["sites/a", "sites/b", "sites/c", "exchanges/x"]


def a_link(name: str, source: str, target: str, latency_us: int = 1000, used: int = 0) -> Link:
    made = Link(name=f"links/{name}", source=source, target=target, capacity_bps=100, latency_us=latency_us)
    made.state.reserved_bps = used
    return made


links = st.lists(
    st.builds(
        a_link,
        st.uuids().map(lambda each: each.hex[:8]), st.sampled_from(NAMES), st.sampled_from(NAMES),
        st.integers(0, 10**6), st.integers(0, 100),
    ),
    max_size=8,
)  # fmt: skip


@given(links, st.randoms(use_true_random=False))
def test_a_picture_is_whole_and_the_same_in_any_order(drawn: list[Link], dice: random.Random) -> None:
    """Two pictures of one network that differ send an operator to look for what has changed."""
    sites = [Site(name="sites/a"), Site(name="sites/<&>", latitude_microdegrees=1)]
    shuffled = list(drawn)
    dice.shuffle(shuffled)
    picture = topology.svg(drawn, sites, "sites/a")
    assert picture == topology.svg(shuffled, sites, "sites/a")
    assert topology.dot(drawn, sites) == topology.dot(shuffled, sites)
    titles = [each.text or "" for each in ET.fromstring(picture).iter(f"{SVG}title")]
    assert {*topology.ends_of(drawn, sites)} <= {*titles}
    assert sum(title.startswith("links/") for title in titles) == sum(each.source != each.target for each in drawn)


def test_who_is_further_away_lies_further_out() -> None:
    """A picture whose circles mean nothing is a decoration."""
    drawn = [a_link("1", "sites/a", "sites/b", 900), a_link("2", "sites/b", "sites/c", 9_000)]
    picture = ET.fromstring(topology.svg(drawn, [Site(name="sites/z")], "sites/a"))
    out = {
        each.findtext(f"{SVG}title"): math.dist((float(each.get("cx", 0)), float(each.get("cy", 0))), (400, 400))
        for each in picture.iter(f"{SVG}circle")
        if each.find(f"{SVG}title") is not None
    }
    assert out["sites/a"] == 0 < out["sites/b"] < out["sites/c"] < out["sites/z"]
    circles = sorted(float(each.get("r", 0)) for each in picture.iter(f"{SVG}circle") if each.get("fill") == "none")
    assert out["sites/b"] < circles[0] < out["sites/c"] < circles[-1]


def test_what_is_full_is_seen() -> None:
    """An operator looks for the link that keeps everybody waiting."""
    drawn = [a_link(str(used), "sites/a", "sites/b", used=used) for used in (10, 60, 90)]
    strokes = [each.get("stroke") for each in ET.fromstring(topology.svg(drawn, [], "sites/a")).iter(f"{SVG}path")]
    assert strokes[-3:] == list(topology.COLOURS)
    assert "90 bit/s / 100 bit/s" in topology.dot(drawn, [])


def test_sites_lie_where_the_map_has_them() -> None:
    """Beijing lies north of Guiyang, whatever their names."""
    places = {"sites/guiyang": (26_600_000, 106_700_000), "sites/beijing": (39_900_000, 116_400_000)}
    sites = [
        Site(name=name, latitude_microdegrees=north, longitude_microdegrees=east)
        for name, (north, east) in places.items()
    ]
    picture = ET.fromstring(topology.svg([a_link("1", *places)], sites, "sites/guiyang"))
    spots = {each.findtext(f"{SVG}title"): each for each in picture.iter(f"{SVG}circle")}
    assert float(spots["sites/beijing"].get("cy", 0)) < 400 < float(spots["sites/beijing"].get("cx", 0))
