"""What a user says to be the same as in an earlier version is looked for within what the site has told alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from suanmesh.agent.v1 import agent_service_pb2 as pb
from suanmesh_agent.bases import FILE_BYTES_MIN, Bases
from suanmesh_agent.replicas import Replicas
from suanmesh_content import BLOCK_BYTES, ContentFile, Manifest, PartError, finished

WHOLE = FILE_BYTES_MIN + BLOCK_BYTES + 3


@pytest.fixture
def before(tmp_path: Path) -> bytes:
    (tmp_path / "source").mkdir()
    content = os.urandom(WHOLE)
    (tmp_path / "source" / "model").write_bytes(content)
    (tmp_path / "source" / "other").write_bytes(b"another file of the party")
    return content


@pytest.fixture
def bases(tmp_path: Path, before: bytes) -> Bases:
    replicas = Replicas(tmp_path / "site")
    known = replicas.take_in({"": tmp_path / "source"}).digest
    made = Bases(Manifest.of([ContentFile("model", WHOLE + 1, bytes(32)), ContentFile("other", 25, bytes(32))]))
    made.find(replicas, [known, "0" * 64], [0, 1])
    return made


def test_whole_blocks_are_told_of_large_files(bases: Bases) -> None:
    """Who is told too little sends gigabytes again."""
    (told,) = finished(bases.telling())
    assert (told.file, told.first, len(told.digests)) == (0, 0, 16 * (WHOLE // BLOCK_BYTES))


def test_what_is_the_same_is_read_from_the_sites_own_disk(bases: Bases, before: bytes) -> None:
    """A block in the wrong place would make a file that nobody has had."""
    finished(bases.telling())
    parts = [
        pb.FilePart(file=0, offset=0, content=b"new"),
        pb.FilePart(file=0, offset=BLOCK_BYTES, same_bytes=2 * BLOCK_BYTES),
    ]
    new, *same = bases.filled(parts)
    assert new.content == b"new"
    assert [part.offset for part in same] == [BLOCK_BYTES, 2 * BLOCK_BYTES]
    assert b"".join(part.content for part in same) == before[BLOCK_BYTES : 3 * BLOCK_BYTES]
    bases.close()


@pytest.mark.parametrize(
    ("file", "offset", "size"),
    [
        (0, 0, WHOLE),
        (0, -1, BLOCK_BYTES),
        (0, WHOLE, 1),
        (0, 0, -1),
        (1, 0, 1),
        (7, 0, 1),
        (0, 2**62, 2**62),
    ],
)
def test_nothing_else_is_the_same(bases: Bases, file: int, offset: int, size: int) -> None:
    """A broken client, or a bad one, would have the agent read where it should not, or for ever."""
    finished(bases.telling())
    with pytest.raises(PartError):
        list(bases.filled([pb.FilePart(file=file, offset=offset, same_bytes=size)]))
