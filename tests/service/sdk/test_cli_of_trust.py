"""`suan trust` against a server: what one node shows is what another believes, and what processes find."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from cryptography.hazmat.primitives.serialization import Encoding

from suanmesh.registry.v1.registry_service_pb2 import SetNodeTrustRequest
from suanmesh.type.v1.trust_pb2 import NodeTrust, TrustBundle
from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.trust import load_trust
from suanmesh_kernel.clock import HandClock
from suanmesh_sdk.values import timestamp

Run = Callable[..., Awaitable[Result]]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def oracle(oracle: Any) -> Any:
    """It believes itself and one other."""
    oracle.answers["GetTrustBundle"] = TrustBundle(node="demo", nodes=[entry("demo"), entry("there")])
    return oracle


@pytest.fixture
def run(run: Run) -> Run:
    return partial(run, "trust")


def entry(node: str) -> NodeTrust:
    der = NodeCa.create(node, HandClock(BEGIN)).certificate.public_bytes(Encoding.DER)
    said = NodeTrust(name=f"nodes/{node}")
    said.authorities.add(
        certificate_der=der, valid_from=timestamp(BEGIN), valid_until=timestamp(BEGIN + timedelta(days=9))
    )
    return said


async def test_what_a_node_shows_another_believes(oracle: Any, run: Run, tmp_path: Path) -> None:
    """Operators hand one file over; a certificate lost on the way would lock a whole node out."""
    shown = await run("show", "there", "-o", "json")
    (tmp_path / "there.json").write_text(shown.stdout)
    said = oracle.answers["GetTrustBundle"].nodes[1]
    oracle.answers["SetNodeTrust"] = said
    done = await run("set", str(tmp_path / "there.json"))
    assert (done.exit_code, "nodes/there" in done.stdout) == (0, True)
    assert SetNodeTrustRequest.FromString(oracle.asked[-1][1]).trust == said
    own = await run("show", "-o", "name")
    assert own.stdout == "nodes/demo\n"
    assert (await run("show", "nowhere")).exit_code != 0


async def test_what_is_saved_is_what_a_process_takes(oracle: Any, run: Run, tmp_path: Path) -> None:
    """A bundle in another form would be found out when the first process is started."""
    done = await run("save", str(tmp_path))
    assert done.exit_code == 0, done.output
    ca = NodeCa.create("demo", HandClock(BEGIN))
    assert load_trust(tmp_path, "demo", ca.pem).peers == {"there"}


async def test_a_node_that_is_believed_no_longer(oracle: Any, run: Run) -> None:
    """Whoever was let in must be put out by name alone."""
    oracle.answers["SetNodeTrust"] = NodeTrust(name="nodes/there")
    assert (await run("remove", "there")).exit_code == 0
    assert SetNodeTrustRequest.FromString(oracle.asked[-1][1]).trust == NodeTrust(name="nodes/there")


async def test_a_file_that_says_nothing_of_a_node_is_refused(run: Run, tmp_path: Path) -> None:
    """It would be taken for a node that is believed in nothing, which puts it out."""
    (tmp_path / "odd.json").write_text('{"nodes": 7}')
    done = await run("set", str(tmp_path / "odd.json"))
    assert done.exit_code != 0


async def test_the_list_of_nodes(run: Run) -> None:
    """Somebody asks whom this node believes, and for how long."""
    lines = (await run("list")).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["NODE", "nodes/demo", "nodes/there"]
    assert lines[1].split()[1:3] == ["1", "0"]
