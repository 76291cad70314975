"""What a network operator types: links are declared, paths explained, transfers followed, the topology drawn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from suanmesh.network_orchestrator.v1.link_pb2 import Link
from suanmesh.network_orchestrator.v1.network_orchestrator_service_pb2 import (
    DeclareLinksRequest,
    DeclareLinksResponse,
    ExplainPathRequest,
    FindPathsResponse,
    ListLinksResponse,
    PathExplanation,
    PathObstacle,
    PathResult,
)
from suanmesh.network_orchestrator.v1.reservation_pb2 import Path as LinkPath
from suanmesh.network_orchestrator.v1.reservation_pb2 import Reservation
from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.registry_service_pb2 import ListSitesResponse
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh.transport.v1.transport_service_pb2 import (
    CreateTransfersRequest,
    CreateTransfersResponse,
    TransferResult,
)
from suanmesh_kernel.refusals import NotFound

Run = Callable[..., Awaitable[Result]]
PATH = LinkPath(links=["links/ab"], latency_us=5000, available_bps=10**9, narrowest_link="links/ab")
FULL = PathObstacle(kind=PathObstacle.KIND_BANDWIDTH, link="links/ab", available_bps=10**6)


async def test_a_link_is_declared_as_people_write_it(oracle: Any, run: Run) -> None:
    """A capacity that is a thousand times too small is found when nothing moves any more."""
    oracle.answers["GetLink"] = NotFound("LINK_UNKNOWN", "no")
    oracle.answers["DeclareLinks"] = DeclareLinksResponse(links=[Link(name="links/ab")])
    oracle.answers["ListSites"] = ListSitesResponse(sites=[Site(name="sites/a")])
    oracle.answers["GetParty"] = Party(name="parties/backbone")
    done = await run(
        "link", "declare", "ab", "--from", "a", "--to", "exchanges/x", "--capacity", "10Gbit/s", "--latency", "5ms",
        "--price", "0.02/GB", "--owner", "backbone",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    [declared] = [body for method, body in oracle.asked if method == "DeclareLinks"]
    [sent] = DeclareLinksRequest.FromString(declared).links
    assert (sent.name, sent.source, sent.target) == ("links/ab", "sites/a", "exchanges/x")
    assert (sent.capacity_bps, sent.latency_us, sent.owner) == (10**10, 5000, "parties/backbone")
    assert (sent.price.amount_micros, sent.price.per_quantity) == (20_000, 10**9)
    assert getattr(sent, "class") == Link.CLASS_INTER


async def test_a_link_is_changed_without_losing_the_rest(oracle: Any, run: Run) -> None:
    """Who widens a link must not make it free, nor overwrite what another has changed meanwhile."""
    before = Link(name="links/ab", source="sites/a", target="sites/b", capacity_bps=5, latency_us=7, etag="e")
    before.price.amount_micros = 3
    before.state.reserved_bps = 4
    oracle.answers["GetLink"] = before
    oracle.answers["DeclareLinks"] = DeclareLinksResponse(links=[before])
    assert (await run("link", "declare", "ab", "--capacity", "20Gbit/s")).exit_code == 0
    [sent] = DeclareLinksRequest.FromString(oracle.asked[-1][1]).links
    assert (sent.capacity_bps, sent.latency_us, sent.price.amount_micros, sent.etag) == (2 * 10**10, 7, 3, "e")
    assert not sent.HasField("state")
    refused = await run("link", "declare", "ab", "--capacity", "20")
    assert (refused.exit_code, "Gbit/s" in refused.stderr) == (2, True)


async def test_many_links_are_declared_by_one_call(oracle: Any, run: Run, tmp_path: Path) -> None:
    """A network of eighty links is one file; those that are there already keep what the file does not say."""
    before = Link(name="links/ab", source="sites/a", target="sites/b", capacity_bps=5, latency_us=7)
    oracle.answers["ListLinks"] = ListLinksResponse(links=[before])
    oracle.answers["ListSites"] = ListSitesResponse(sites=[Site(name="sites/a"), Site(name="sites/b")])
    oracle.answers["DeclareLinks"] = DeclareLinksResponse(links=[before])
    file = tmp_path / "links.yaml"
    file.write_text("links:\n- {name: ab, capacity: 2Gbit/s}\n- {name: ba, from: b, to: a, capacity: 1Gbit/s}\n")
    done = await run("link", "declare", "-f", str(file))
    assert done.exit_code == 0, done.output
    [declared] = [body for method, body in oracle.asked if method == "DeclareLinks"]
    sent = DeclareLinksRequest.FromString(declared).links
    assert [(link.name, link.source, link.capacity_bps, link.latency_us) for link in sent] == [
        ("links/ab", "sites/a", 2 * 10**9, 7),
        ("links/ba", "sites/b", 10**9, 0),
    ]


async def test_a_new_link_without_ends_says_what_it_needs(oracle: Any, run: Run) -> None:
    """Who means to change a link and mistypes its name was told of a field of a message."""
    oracle.answers["GetLink"] = NotFound("LINK_UNKNOWN", "no")
    refused = await run("link", "declare", "ba", "--capacity", "10Gbit/s")
    assert refused.exit_code == 2
    assert "links/ba is not there, and a new link needs --from and --to" in refused.stderr
    assert [method for method, _ in oracle.asked] == ["GetLink"]


async def test_a_link_to_a_site_that_has_not_joined_is_declared_and_said(oracle: Any, run: Run) -> None:
    """Links may come before the site; a mistyped site would otherwise be found when nothing moves."""
    oracle.answers["GetLink"] = NotFound("LINK_UNKNOWN", "no")
    oracle.answers["DeclareLinks"] = DeclareLinksResponse(links=[Link(name="links/ab")])
    oracle.answers["ListSites"] = ListSitesResponse()
    declared = await run("link", "declare", "ab", "--from", "exchanges/x", "--to", "nosuch", "--capacity", "1Gbit/s")
    assert declared.exit_code == 0
    assert "sites/nosuch has not joined" in declared.stderr
    assert "exchanges/x has not" not in declared.stderr


async def test_a_link_of_a_party_that_is_not_there_is_not_declared(oracle: Any, run: Run) -> None:
    """What it earns would go to an account that nobody has, until somebody takes that name."""
    oracle.answers["GetLink"] = Link(name="links/ab")
    oracle.answers["GetParty"] = NotFound("PARTY_UNKNOWN", "no")
    refused = await run("link", "declare", "ab", "--owner", "nosuch")
    assert (refused.exit_code, "PARTY_UNKNOWN" in refused.stderr) == (3, True)
    assert "DeclareLinks" not in [method for method, _ in oracle.asked]


async def test_a_link_that_is_not_there_is_not_said_to_be_removed(oracle: Any, run: Run) -> None:
    """Who mistypes it goes home, and the link still carries data."""
    oracle.answers["GetLink"] = NotFound("LINK_UNKNOWN", "there is no link links/nosuch")
    refused = await run("link", "rm", "nosuch")
    assert (refused.exit_code, "LINK_UNKNOWN" in refused.stderr, "removed" in refused.stderr) == (3, True, False)


@pytest.mark.parametrize("verb", ["find", "explain"])
async def test_a_site_that_is_mistyped_is_not_said_to_be_cut_off(oracle: Any, run: Run, verb: str) -> None:
    """That no links join the two sends a network operator to look for a cable."""
    apart = PathResult(obstacle=PathObstacle(kind=PathObstacle.KIND_DISCONNECTED))
    oracle.answers["FindPaths"] = FindPathsResponse(results=[apart])
    oracle.answers["ExplainPath"] = PathExplanation(found=apart)
    oracle.answers["GetSite"] = NotFound("SITE_UNKNOWN", "there is no site sites/nosuch", name="sites/nosuch")
    unknown = await run("path", verb, "exchanges/x", "nosuch")
    assert (unknown.exit_code, "SITE_UNKNOWN" in unknown.stderr) == (3, True)
    oracle.answers["GetSite"] = Site(name="sites/b")
    apart_indeed = await run("path", verb, "a", "b")
    assert (apart_indeed.exit_code, "DISCONNECTED" in apart_indeed.stdout) == (6, True)


async def test_a_path_is_told_with_what_else_there_is(oracle: Any, run: Run) -> None:
    """Who waits for data wants to know of which link, and what would do."""
    links = [Link(name="links/ab", source="sites/a", target="sites/b")]
    oracle.answers["ExplainPath"] = PathExplanation(
        found=PathResult(obstacle=FULL), fastest=PATH, widest=PATH, links=links
    )
    told = await run("path", "explain", "a", "b", "--bandwidth", "2Gbit/s", "--latency", "20ms")
    assert told.exit_code == 6
    query = ExplainPathRequest.FromString(oracle.asked[-1][1]).query
    assert (query.source, query.target, query.min_bandwidth_bps, query.max_latency_us) == (
        "sites/a", "sites/b", 2 * 10**9, 20_000,
    )  # fmt: skip
    assert "BANDWIDTH: links/ab has no more than 1 Mbit/s left" in told.stdout
    assert [line.split()[0] for line in told.stdout.splitlines() if line.startswith(("fastest", "widest"))] == [
        "fastest", "widest",
    ]  # fmt: skip
    oracle.answers["FindPaths"] = FindPathsResponse(results=[PathResult(path=PATH)])
    found = await run("path", "find", "a", "b")
    assert (found.exit_code, "5.0 ms" in found.stdout) == (0, True)


async def test_a_reservation_is_shown(oracle: Any, run: Run) -> None:
    """The name in a placement must lead somewhere."""
    oracle.answers["GetReservation"] = Reservation(name="reservations/p-0", path=PATH, rate_bps=10**8)
    shown = (await run("reservation", "show", "p-0")).stdout
    assert "100 Mbit/s" in shown
    assert "ab" in shown


async def test_a_copy_is_asked_for_and_followed_to_its_end(oracle: Any, run: Run) -> None:
    """A script that goes on before the data is there computes on what is not there."""
    made = Transfer(name="transfers/t", state=Transfer.STATE_PENDING, bytes=100)
    oracle.answers["CreateTransfers"] = CreateTransfersResponse(results=[TransferResult(transfer=made)])
    states = [Transfer.STATE_ACTIVE, Transfer.STATE_ACTIVE, Transfer.STATE_FAILED]
    looks = 0

    async def answer(body: bytes, context: Any) -> bytes:
        nonlocal looks
        if oracle.asked[-1][0] == "CreateTransfers":
            return oracle.answers["CreateTransfers"].SerializeToString()
        made.state, looks = states[looks], looks + 1
        made.progress.bytes_done = 40
        return made.SerializeToString()

    oracle.answer = answer
    done = await run("transfer", "create", "d", "--to", "b", "--rate", "100Mbit/s", "--wait")
    assert (done.exit_code, looks) == (1, 3)
    [ask] = CreateTransfersRequest.FromString(oracle.asked[0][1]).items
    assert (ask.dataset, ask.target, ask.rate_bps) == ("datasets/d", "sites/b", 10**8)
    assert done.stderr.count("ACTIVE") == 1
    assert "FAILED" in done.stdout


async def test_the_topology_is_drawn(oracle: Any, run: Run) -> None:
    """A picture says at a glance which link is full."""
    link = Link(name="links/ab", source="sites/a", target="sites/b", capacity_bps=100)
    oracle.answers["ListLinks"] = ListLinksResponse(links=[link])
    oracle.answers["ListSites"] = ListSitesResponse(sites=[Site(name="sites/a"), Site(name="sites/b")])
    picture = (await run("link", "topology", "-o", "svg")).stdout
    assert picture.startswith("<svg")
    assert "links/ab" in picture
    assert '"sites/a" -> "sites/b"' in (await run("link", "topology", "-o", "dot")).stdout
    assert (await run("link", "topology", "-o", "name")).stdout == "links/ab\n"
    nowhere = await run("link", "topology", "-o", "svg", "--around", "none")
    assert nowhere.exit_code == 3
    assert (await run("link", "list", "-o", "svg")).exit_code == 2
