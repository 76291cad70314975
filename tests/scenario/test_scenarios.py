"""A few seeds of a few worlds in every run of the tests; `make test-scenarios` plays many."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scenario import story
from scenario.story import plan, read
from suanmesh_fake.node import SECOND

TESTS = Path(__file__).resolve().parents[1]
FEW = [("crash-at-a-write", 1), ("crashes", 1), ("bad-network", 1), ("sites-away", 1), ("drains", 1)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("world", "seed"), FEW)
def test_a_node_keeps_its_books_right(world: str, seed: int) -> None:
    """What was accepted is lost, done twice or paid for wrongly only where somebody dies at the wrong moment."""
    command = [sys.executable, "-m", "scenario", "--world", world, "--seed", str(seed)]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    played = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert played.returncode == 0, f"{played.stdout}\n{played.stderr}"


@pytest.mark.parametrize("name", story.names())
def test_a_world_says_what_it_is_about(name: str) -> None:
    """A world whose file has a slip of the pen would play another one than it tells."""
    world = read(name)

    assert world.about.endswith((".", "."))
    assert plan(world, 3) == plan(world, 3)
    known = {"gateway", "registry", "accounting", "network_orchestrator", "transport", "scheduler"}
    known |= {"shanghai", "wuhu", "guiyang", "etcd"}
    known |= {f"{area}{SECOND}" for area in world.standbys}
    faults = world.faults
    ends = {end for pair in faults.cut for end in pair.split("-")}
    named = {*faults.kill, *faults.restart, *faults.mute, *faults.compact, *faults.set_back, *faults.drain, *ends}
    named |= {*world.standbys}
    assert {*named, world.liar, faults.kill_at_write} - {""} <= known


def test_a_slip_of_the_pen_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A share of lost messages under a name that nobody reads would be no share at all."""
    monkeypatch.setattr(story, "WORLDS", tmp_path)
    (tmp_path / "odd.toml").write_text('about = "x"\n[links]\nlosses = 1\n')

    with pytest.raises(ValueError, match="losses"):
        read("odd")
