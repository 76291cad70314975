"""Folders to a real site and back, through the gateway, with both ends killed on the way."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from suanmesh_content import CHUNK_BYTES, read_folder
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh
from suanmesh_sdk.sending import Progress

pytestmark = pytest.mark.mesh

MIB = 1 << 20
SITE = "shanghai"
LARGE_MIB = 400


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A large file, many small ones, and what is no plain file."""
    folder = tmp_path / "source"
    (folder / "empty").mkdir(parents=True)
    with (folder / "large.bin").open("wb") as file:
        for _ in range(LARGE_MIB):
            file.write(os.urandom(MIB))
    for number in range(2000):
        (folder / f"small-{number:04}").write_text(str(number))
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "latest").symlink_to("large.bin")
    (folder / "keys").symlink_to("/etc/hostname")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).write_text("no text")
    return folder


async def killed_twice(node: Node, work: Callable[[Callable[[Progress], None]], Awaitable[object]]) -> list[Progress]:
    """Do the work, and kill the gateway after a quarter of it, the site's agent after half; how far it ever was."""
    told: list[Progress] = []
    reached = {"quarter": asyncio.Event(), "half": asyncio.Event()}

    def tell(progress: Progress) -> None:
        told.append(progress)
        for name, share in (("quarter", 4), ("half", 2)):
            if progress.bytes_done * share > progress.bytes_total:
                reached[name].set()

    async def kill() -> None:
        for name, process in (("quarter", node.services["gateway"]), ("half", node.agents[SITE])):
            await reached[name].wait()
            await asyncio.to_thread(process.kill)
            process.start()

    killing = asyncio.create_task(kill())
    await work(tell)
    await killing
    return told


async def test_put_and_get_survive_kills_of_gateway_and_agent(
    node: Node, user: Mesh, operator: Mesh, source: Path, tmp_path: Path
) -> None:
    """A researcher's afternoon must not be lost to a crash: what was sent stays, and what arrives is what was put."""
    target = tmp_path / "target"
    told = await killed_twice(
        node, lambda tell: user.data.put(source, "afternoon", site=f"sites/{SITE}", progress=tell)
    )
    steps = itertools.pairwise(told)
    again = [before.bytes_done - after.bytes_done for before, after in steps if after.bytes_done < before.bytes_done]
    assert len(again) <= 2
    assert all(size <= 2 * CHUNK_BYTES for size in again), [size / MIB for size in again]
    await node.site_ready(SITE, operator)

    await killed_twice(node, lambda tell: user.data.get("datasets/afternoon", target, progress=tell))
    (source / "keys").unlink()
    assert read_folder(target) == read_folder(source)
    await node.site_ready(SITE, operator)


async def test_a_put_again_changes_nothing_and_sends_nothing(user: Mesh, tmp_path: Path) -> None:
    """A script that is run twice must not pay twice."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "train.py").write_text("print(1)")
    told: list[Progress] = []
    first = await user.data.put(folder, "twice", progress=told.append)
    again = await user.data.put(folder, "twice", progress=told.append)
    assert (first.dataset, first.site) == (again.dataset, again.site)
    assert len(told) == 1
    single = await user.data.put(folder / "train.py", "single")
    assert [file.path for file in single.manifest.files] == ["train.py"]
