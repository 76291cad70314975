"""Declaring, listing, probing and searching, behind the real wrapper."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as pb
from suanmesh_kernel.refusals import Refusal


async def test_links_declared_again_stay_what_they_are(opened: Any, link: Any) -> None:
    """An operator who runs the same file twice must not disturb what lies on the links."""
    async with opened() as net:
        first = await net.declare(link("ab", "a", "b", 1000), link("ba", "b", "a", 500))
        again = await net.declare(link("ab", "a", "b", 1000), link("ba", "b", "a", 600))
        assert first[0] == again[0]
        assert first[1].etag != again[1].etag
        listed = await net.user.network_orchestrator.ListLinks(pb.ListLinksRequest())
        assert [(each.name, each.capacity_bps) for each in listed.links] == [("links/ab", 1000), ("links/ba", 600)]


async def test_a_change_over_a_stale_etag_is_refused(opened: Any, link: Any) -> None:
    """Two operators must not overwrite each other unseen."""
    async with opened() as net:
        [declared] = await net.declare(link("ab", "a", "b", 1000))
        await net.declare(link("ab", "a", "b", 900))
        declared.capacity_bps = 800
        with pytest.raises(Refusal, match="CONFLICT"):
            await net.declare(declared)


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"capacity_bps": -1}, "FIELD_INVALID", "links[0].capacity_bps"),
        ({"class": 0}, "FIELD_INVALID", "links[0].class"),
        ({"source": "nowhere"}, "FIELD_INVALID", "links[0].source"),
        ({"target": "sites/c"}, "LINK_EXISTS", None),
    ],
)
async def test_a_wrong_link_is_refused_with_its_field(
    opened: Any, link: Any, change: dict[str, Any], reason: str, field: str | None
) -> None:
    """Nothing of a declaration with a mistake in it may take effect."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        wrong = link("ab", "a", "b", 1000)
        for name, value in change.items():
            setattr(wrong, name, value)
        with pytest.raises(Refusal) as caught:
            await net.declare(wrong)
        assert (caught.value.reason, caught.value.facts.get("field")) == (reason, field)


async def test_only_the_operator_declares_links(opened: Any, link: Any) -> None:
    """A tenant who could declare a wide link would be given one that is not there."""
    async with opened() as net:
        with pytest.raises(Refusal, match="ROLE_DENIED"):
            await net.user.network_orchestrator.DeclareLinks(pb.DeclareLinksRequest(links=[link("ab", "a", "b", 9)]))


async def test_every_query_of_a_batch_is_answered_in_its_place(opened: Any, link: Any) -> None:
    """The scheduler matches answers to candidates by position."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000, 10), link("bc", "b", "c", 50, 10))
        ask = [("a", "c", 0, 0), ("a", "c", 60, 0), ("c", "a", 0, 0), ("a", "c", 0, 19), ("a", "a", 5, 5)]
        queries = [
            pb.PathQuery(source=f"sites/{s}", target=f"sites/{t}", min_bandwidth_bps=bps, max_latency_us=us)
            for s, t, bps, us in ask
        ]
        answer = await net.user.network_orchestrator.FindPaths(pb.FindPathsRequest(queries=queries))
        found, full, none, slow, here = answer.results
        kinds = pb.PathObstacle
        assert list(found.path.links) == ["links/ab", "links/bc"]
        assert (full.obstacle.kind, full.obstacle.link, full.obstacle.available_bps) == (
            kinds.KIND_BANDWIDTH,
            "links/bc",
            50,
        )
        assert none.obstacle.kind == kinds.KIND_DISCONNECTED
        assert (slow.obstacle.kind, slow.obstacle.least_latency_us) == (kinds.KIND_LATENCY, 20)
        assert here.HasField("path")
        assert answer.revision > 0


async def test_an_agent_reports_what_it_measured_and_only_for_itself(opened: Any, link: Any) -> None:
    """A site that could report for another could make it look far away."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000, 10))
        probes = [pb.Probe(target="sites/b", rtt_us=84), pb.Probe(target="sites/z", rtt_us=5)]
        report = pb.ReportLinksRequest(site="sites/a", probes=probes)
        assert (await net.agent("a").network_orchestrator.ReportLinks(report)).matched == 1
        [shown] = (await net.user.network_orchestrator.ListLinks(pb.ListLinksRequest())).links
        assert (shown.state.probed_rtt_us, shown.latency_us) == (84, 10)
        query = pb.FindPathsRequest(queries=[pb.PathQuery(source="sites/a", target="sites/b")])
        assert (await net.user.network_orchestrator.FindPaths(query)).results[0].path.latency_us == 42
        with pytest.raises(Refusal, match="NOT_OWNER"):
            await net.agent("b").network_orchestrator.ReportLinks(report)


async def test_a_node_has_no_more_links_than_it_may(opened: Any, link: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every path search reads all links; a generator that runs wild would slow every decision."""
    monkeypatch.setattr("suanmesh_network_orchestrator.domain.declaration.LINKS_MAX", 2)
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000), link("ba", "b", "a", 500))
        with pytest.raises(Refusal, match="LINKS_TOO_MANY") as refused:
            await net.declare(link("ab", "a", "b", 900), link("ac", "a", "b", 500))
        assert refused.value.facts["most"] == "2"
        assert len(await net.declare(link("ab", "a", "b", 900))) == 1
