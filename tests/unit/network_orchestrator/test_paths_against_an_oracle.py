"""Path search against brute force: the same verdict and the same optimum, whatever the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import networkx
from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh_kernel.money import INT64_MAX, Price
from suanmesh_network_orchestrator.domain import explaining
from suanmesh_network_orchestrator.domain.paths import Missing, NoPath, Path, Query, find_path
from suanmesh_network_orchestrator.domain.topology import MIB, Link, LinkClass, Topology, edge, topology

ENDS = [f"sites/{letter}" for letter in "abcdef"]

links = st.builds(
    lambda source, target, capacity, latency, price: (source, target, capacity, latency, price),
    st.sampled_from(ENDS),
    st.sampled_from(ENDS),
    st.integers(1, 4),
    st.integers(0, 4),
    st.integers(0, 3),
)


def a_link(
    name: str, source: str, target: str, *, capacity_bps: int = 100, latency_us: int = 10, price: int = 0
) -> Link:
    money = Price(price, MIB) if price else None
    return Link(
        f"links/{name}", f"sites/{source}", f"sites/{target}", LinkClass.INTER, capacity_bps, latency_us, 0, money
    )


def a_topology(*declared: Link, reserved: dict[str, int] | None = None) -> Topology:
    return topology(declared, reserved or {}, {})


def brute_force(drawn: Sequence[Link], query: Query) -> tuple[int, int, int] | None:
    """Price, latency and hops of the best of all simple paths."""
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(ENDS)
    for link in drawn:
        now = edge(link, 0, None)
        if now.available_bps >= query.min_bandwidth_bps:
            graph.add_edge(link.source, link.target, key=link.name, edge=now)
    best: tuple[int, int, int] | None = None
    for found in networkx.all_simple_edge_paths(graph, query.source, query.target):
        edges = [graph.edges[each]["edge"] for each in found]
        cost = (sum(x.price_micros_per_mib for x in edges), sum(x.latency_us for x in edges), len(edges))
        if (not query.max_latency_us or cost[1] <= query.max_latency_us) and (best is None or cost < best):
            best = cost
    return best


@settings(max_examples=400, deadline=None)
@given(st.lists(links, max_size=14), st.integers(0, 5), st.integers(0, 10))
def test_the_path_found_is_the_best_of_all(drawn: list[tuple[str, str, int, int, int]], bps: int, us: int) -> None:
    """A consumer must not pay for a dearer path, nor be told there is none, because the search was clever."""
    declared = [
        Link(f"links/l{i:02}", s, t, LinkClass.INTER, capacity, latency, 0, Price(price, MIB) if price else None)
        for i, (s, t, capacity, latency, price) in enumerate(drawn)
        if s != t
    ]
    query = Query(ENDS[0], ENDS[1], bps, us)
    best = brute_force(declared, query)
    found = find_path(topology(declared, {}, {}), query)
    if isinstance(found, Path):
        assert (found.price_micros_per_mib, found.latency_us, len(found.links)) == best
        assert found.available_bps >= bps
    else:
        assert best is None
        explained(declared, query, found)


def explained(declared: list[Link], query: Query, obstacle: NoPath) -> None:
    """The numbers of an obstacle are true: changed by just that much, the answer changes."""
    connected = brute_force(declared, Query(query.source, query.target))
    wide = brute_force(declared, Query(query.source, query.target, query.min_bandwidth_bps))
    if obstacle.missing is Missing.DISCONNECTED:
        assert connected is None
    elif obstacle.missing is Missing.LATENCY:
        assert wide is not None
        relaxed = Query(query.source, query.target, query.min_bandwidth_bps, obstacle.least_latency_us)
        assert isinstance(find_path(topology(declared, {}, {}), relaxed), Path)
        if obstacle.least_latency_us > 1:
            tighter = Query(query.source, query.target, query.min_bandwidth_bps, obstacle.least_latency_us - 1)
            assert isinstance(find_path(topology(declared, {}, {}), tighter), NoPath)
    else:
        assert wide is None
        assert obstacle.available_bps < query.min_bandwidth_bps
        narrow = {link.name: link for link in declared}[obstacle.link]
        assert narrow.capacity_bps == obstacle.available_bps
        relaxed = Query(query.source, query.target, obstacle.available_bps)
        assert isinstance(find_path(topology(declared, {}, {}), relaxed), Path)


@given(st.permutations(range(6)))
def test_the_order_of_declaration_decides_nothing(order: list[int]) -> None:
    """Two replicas of the service that loaded links in another order must answer alike."""
    declared = [a_link(str(i), "a", "b") for i in range(3)] + [a_link(str(i), "a", "c") for i in range(3, 6)]
    found = find_path(a_topology(*(declared[i] for i in order)), Query("sites/a", "sites/b"))
    assert isinstance(found, Path)
    assert found.links == ("links/0",)


def test_the_cheaper_way_round_is_taken_unless_it_is_too_slow() -> None:
    """A consumer who allows the latency saves the money; one who does not gets the direct line."""
    net = a_topology(
        a_link("direct", "a", "b", latency_us=10, price=50),
        a_link("up", "a", "c", latency_us=20, price=1),
        a_link("down", "c", "b", latency_us=20, price=1),
    )
    relaxed, strict = Query("sites/a", "sites/b"), Query("sites/a", "sites/b", max_latency_us=39)
    assert find_path(net, relaxed) == Path(("links/up", "links/down"), 40, 100, "links/down", 2)
    assert find_path(net, strict) == Path(("links/direct",), 10, 100, "links/direct", 50)


def test_the_price_of_a_mebibyte_covers_every_byte_of_it() -> None:
    """A carrier that asks less than a micro a mebibyte would see money held for nothing, and bear its own price."""
    cheap = topology([replace(a_link("l", "a", "b"), price=Price(1, 10 * MIB))], {}, {})
    found = find_path(cheap, Query("sites/a", "sites/b"))
    assert isinstance(found, Path)
    assert found.price_micros_per_mib == 1


def test_what_is_reserved_is_gone_and_the_obstacle_names_the_link() -> None:
    """A second job over a full link must be told which link is full and what it has left."""
    net = a_topology(a_link("wide", "a", "c", capacity_bps=1000), a_link("thin", "c", "b"), reserved={"links/thin": 70})
    answer = find_path(net, Query("sites/a", "sites/b", min_bandwidth_bps=31))
    assert answer == NoPath(Missing.BANDWIDTH, link="links/thin", available_bps=30)
    assert isinstance(find_path(net, Query("sites/a", "sites/b", min_bandwidth_bps=30)), Path)


def test_a_link_lowered_below_what_it_carries_has_nothing_left() -> None:
    """An owner who declares a damaged line smaller must not see a negative bandwidth promised."""
    net = a_topology(a_link("l", "a", "b", capacity_bps=10), reserved={"links/l": 25})
    assert find_path(net, Query("sites/a", "sites/b", 1)) == NoPath(Missing.BANDWIDTH, "links/l", 0)


def test_the_worse_of_declared_and_measured_latency_counts() -> None:
    """A line slower than promised must not pass a bound it breaks; a quick probe does not better the promise."""
    declared = [a_link("l", "a", "b", latency_us=1000)]
    slow = topology(declared, {}, {("sites/a", "sites/b"): 5000})
    quick = topology(declared, {}, {("sites/a", "sites/b"): 10})
    bound = Query("sites/a", "sites/b", max_latency_us=2000)
    assert find_path(slow, bound) == NoPath(Missing.LATENCY, least_latency_us=2500)
    assert isinstance(find_path(quick, Query("sites/a", "sites/b", max_latency_us=1000)), Path)


def test_data_that_is_there_already_needs_no_path() -> None:
    """A job beside its data must not be refused because its site has no links."""
    found = find_path(a_topology(), Query("sites/a", "sites/a", 10**12, 1))
    assert found == Path((), 0, INT64_MAX, "", 0)


@settings(max_examples=200, deadline=None)
@given(st.lists(links, max_size=14))
def test_the_ends_of_what_there_is_are_the_ends(drawn: list[tuple[str, str, int, int, int]]) -> None:
    """Who is told of a fastest path that another one beats looks for the fault in the wrong network."""
    made = [
        a_link(str(number), source.removeprefix("sites/"), target.removeprefix("sites/"), capacity_bps=bps,
               latency_us=us, price=price)
        for number, (source, target, bps, us, price) in enumerate(drawn)
    ]  # fmt: skip
    graph = networkx.MultiDiGraph()
    graph.add_nodes_from(ENDS)
    for link in made:
        graph.add_edge(link.source, link.target, key=link.name, link=link)
    paths = [
        [graph.edges[each]["link"] for each in found] for found in networkx.all_simple_edge_paths(graph, *ENDS[:2])
    ]
    told = explaining.explained(a_topology(*made), Query(*ENDS[:2]))
    if not paths:
        assert (told.fastest, told.widest, told.links) == (None, None, ())
        return
    assert told.fastest is not None
    assert told.widest is not None
    assert told.fastest.latency_us == min(sum(link.latency_us for link in path) for path in paths)
    assert told.widest.available_bps == max(min(link.capacity_bps for link in path) for path in paths)
    assert {*told.fastest.links, *told.widest.links} <= set(told.links)
