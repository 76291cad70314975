"""Secrets at a site: in memory, for the tasks of their placement alone, and gone with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.secrets import Secrets, folder_in_memory
from suanmesh_agent.testing import FakeSite, State, a_placement
from suanmesh_sdk.state_reasons import reason_from

NAME = "placements/p1"
VALUES = {"TOKEN": b"hf_9b1deb4d3b7d4bad\n", "key": b"\x00binary-1f2e3d4c"}
CODE = """
import hashlib, os
from pathlib import Path
folder = Path(os.environ["SUANMESH_SECRETS"])
told = sorted(path.name for path in folder.iterdir()), os.environ["TOKEN"].endswith("\\n")
told += hashlib.sha256((folder / "key").read_bytes() + os.environb[b"TOKEN"]).hexdigest(),
Path("out/told").write_text(repr(told))
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FakeSite]:
    made = FakeSite(tmp_path)
    made.scheduler.secrets = dict(VALUES)
    yield made
    assert not folder_in_memory(tmp_path).exists(), "what is in memory is nobody's to find after the tasks"


def placed(world: FakeSite, code: str = CODE) -> None:
    placement = a_placement(code)
    placement.work.secrets.add(name="TOKEN", variable="TOKEN")
    placement.work.secrets.add(name="key")
    world.scheduler.put(placement)


def told(world: FakeSite) -> str:
    return (world.replicas.files(world.transport.datasets["datasets/j1-result"].digest) / "told").read_text()


def on_disk(folder: Path) -> list[Path]:
    """Files that have a secret in them."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if any(value.strip() in path.read_bytes() for value in VALUES.values())]


async def test_a_task_that_prints_its_secrets_shows_none(world: FakeSite, tmp_path: Path) -> None:
    """`set -x`, or a library that logs its requests, tells a token to whoever may read the log."""
    code = (
        "import os, sys, time; value = os.environb[b'TOKEN']\n"
        "for part in (b'with ', value[:4], value[4:].strip(), b' it\\n'):\n"
        "    os.write(1, part); time.sleep(0.05)\n"
    )
    placed(world, code)
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        log = world.replicas.files(world.transport.datasets["datasets/j1-log"].digest) / "task-0.log"
        assert log.read_bytes() == b"with *** it\n"
        assert not on_disk(tmp_path)


async def test_a_task_finds_its_secrets_and_the_disk_does_not(world: FakeSite, tmp_path: Path) -> None:
    """A disk is read by whoever buys it second-hand, and its folders by every backup."""
    placed(world)
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
        digest = hashlib.sha256(VALUES["key"] + VALUES["TOKEN"]).hexdigest()
        assert told(world) == repr((["TOKEN", "key"], True, digest))
        assert not on_disk(tmp_path)


async def test_an_agent_that_comes_back_ends_with_nothing_in_memory(world: FakeSite, tmp_path: Path) -> None:
    """A kill between a task's end and its clearing up would leave its secrets until the next start of the machine."""
    placed(world)
    await world.killed_at(Stage.STARTED)
    await world.killed_at(Stage.METERED)
    left = folder_in_memory(tmp_path) / "gone-long-ago"
    left.mkdir(mode=0o700, parents=True)
    Secrets(left.parent, world.scheduler).sweep({NAME})
    async with world.agent():
        await world.scheduler.reported(NAME, State.STATE_DELIVERING)
    assert not on_disk(tmp_path)


async def test_a_placement_whose_secrets_cannot_be_had_is_given_back(world: FakeSite) -> None:
    """Its task would run without its token, fail, and be paid for."""
    del world.scheduler.secrets["key"]
    placed(world)
    async with world.agent():
        report = await world.scheduler.reported(NAME, State.STATE_REFUSED)
    assert "SECRETS_MISSING" in str(reason_from(report.reason))


async def test_nobody_else_s_folder_is_taken_for_ours(world: FakeSite, tmp_path: Path) -> None:
    """Whoever may write to /dev/shm would lay a folder of theirs where the secrets of others are going to lie."""
    theirs, folder = tmp_path / "theirs", folder_in_memory(tmp_path)
    theirs.mkdir()
    folder.symlink_to(theirs)
    placed(world)
    try:
        async with world.agent():
            await world.scheduler.reported(NAME, State.STATE_REFUSED)
        assert not list(theirs.iterdir())
    finally:
        folder.unlink()
