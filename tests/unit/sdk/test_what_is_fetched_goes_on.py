"""A dataset that comes into a folder, broken off and gone on with by another process."""

from __future__ import annotations

import os
from pathlib import Path

from suanmesh_content import PACK_BYTES, packs, read_folder
from suanmesh_sdk.incoming import Incoming

RUNS_MAX = 1000


def test_twice_broken_off_fetches_at_most_two_packs_again(tmp_path: Path) -> None:
    """Over a bad line hours of fetching would begin anew each time."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(5 * PACK_BYTES + 3))
    for number in range(50):
        (source / f"small-{number}").write_text(str(number))
    manifest = read_folder(source)
    fetched = 0
    for most in (2, 2, 1000):
        incoming = Incoming(target, manifest)
        incoming.begin()
        runs = incoming.next_runs(1 << 40, RUNS_MAX)
        for pack in list(packs(source, manifest, runs))[:most]:
            incoming.take(pack)
            fetched += sum(len(part.content) for part in pack)
    incoming.take_end()
    incoming.finish()
    assert read_folder(target) == manifest
    assert fetched <= manifest.size_bytes + 2 * PACK_BYTES
