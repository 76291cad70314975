"""An upload for which there was room, onto a disk that others fill meanwhile."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from suanmesh_agent import uploads as uploads_module
from suanmesh_chassis.testing import LoopbackNode
from suanmesh_content import PACK_BYTES, read_folder
from suanmesh_kernel.refusals import ResourceExhausted
from tests.service.agent.test_uploads_are_taken_in import Site, send


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of a few mebibytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "small", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk of its own takes root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_disk_that_fills_meanwhile_is_told(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other sites have room: who asks them has to know that this one has none, and not that it is broken."""
    monkeypatch.setattr(uploads_module, "FREE_BYTES_MIN", 0)
    source = tmp_path / "source"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(2 * PACK_BYTES))
    manifest = read_folder(source)
    async with LoopbackNode(tmp_path) as node:
        site = Site(node, small_disk)
        await site.serve()
        call, runs = await site.begin(manifest)
        with suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))

        async def refused() -> None:
            await send(call, source, manifest, runs)
            await call.read()

        with pytest.raises(ResourceExhausted, match="ROOM_MISSING"):
            await refused()
