"""What whoever is on call has on the machine of a node: `suan top` and `suan support-bundle`."""

from __future__ import annotations

import json
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from suanmesh_cli.main import status_of
from suanmesh_local.node import Node

pytestmark = pytest.mark.mesh

ANSWERED_S_MAX = 120.0


def seen(node: Node, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What is told of a node once all its processes have answered: of one that is too busy that is told."""
    until = time.monotonic() + ANSWERED_S_MAX
    while True:
        status = status_of(["top", str(node.folder), "--once", "-o", "json"], {})
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert status in (0, 1)
        if time.monotonic() > until or status == 0:
            return told


def test_a_node_is_seen_at_a_glance(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    """Who is called at night sees within seconds who runs, who leads, and which sites are heard."""
    told = seen(node, capsys)
    processes = {row["name"]: row for row in told["processes"]}
    assert {name: row["state"] for name, row in processes.items()} == dict.fromkeys(processes, "ready")
    led = {row["area"] for row in processes.values() if row["leads"]}
    assert led == {"registry", "scheduler", "network_orchestrator", "transport", "accounting"}
    assert {site["name"] for site in told["sites"]} == {place.site for place in node.places}
    assert (told["without_leader"], told["unbalanced"]) == ([], [])

    assert status_of(["top", str(node.folder), "--once", "--lang", "zh"], {}) in (0, 1)
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*processes, *(place.site for place in node.places)))


def test_a_bundle_of_a_living_node_has_its_health_and_traces_and_none_of_its_keys(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It goes to people elsewhere."""
    seen(node, capsys)
    out = tmp_path / "bundle.tar.gz"
    assert status_of(["support-bundle", str(node.folder), "--out", str(out)], {}) == 0

    with tarfile.open(out) as opened:
        members = {each.name.removeprefix("suanmesh-support/"): opened.extractfile(each) for each in opened}
        files = {name: member.read().decode() for name, member in members.items() if member is not None}
    told = "\n".join(files.values())
    answers = json.loads(files["processes.json"])
    assert {each["process"] for each in answers if each["ready"]} == {each["process"] for each in answers}
    assert "suan_leading 1.0" in files["metrics/scheduler.txt"]
    assert files["health/accounting.txt"].startswith("ready")
    assert any(name.startswith("traces/") and name.endswith(".json") for name in files)
    keys = [path for path in node.folder.rglob("*") if path.name in ("key.pem", "signing.key")]
    lines = [line for path in keys for line in path.read_text().splitlines() if len(line) > 20 and "-----" not in line]
    assert len(lines) > 20
    assert [line for line in lines if line in told] == []
