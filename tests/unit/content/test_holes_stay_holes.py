"""Holes are found, never read, never filled: a file that claims much and holds little stays cheap, and the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_content import copying, finished, read_folder, write_sparse
from suanmesh_content.sparse import BLOCK_BYTES, contents, segments

MIB = 1 << 20
HOLE = 64 * MIB
LAYOUTS = st.lists(st.tuples(st.booleans(), st.integers(1, 5 * BLOCK_BYTES)), max_size=6)


def on_disk(path: Path) -> int:
    return path.stat().st_blocks * 512


def sparse_file(path: Path, layout: list[tuple[bool, int]]) -> bytes:
    """Data where True, holes where False; what it reads as."""
    whole = b"".join(os.urandom(size) if data else bytes(size) for data, size in layout)
    with path.open("wb") as file:
        offset = 0
        for data, size in layout:
            if data:
                file.seek(offset)
                file.write(whole[offset : offset + size])
            offset += size
        file.truncate(offset)
    return whole


@pytest.fixture
def large(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    sparse_file(folder / "x", [(True, BLOCK_BYTES), (False, HOLE), (True, 3)])
    if on_disk(folder / "x") > MIB:
        pytest.skip("this file system knows no holes")
    return folder


@given(layout=LAYOUTS)
def test_identity_is_that_of_the_bytes_however_they_lie(
    tmp_path_factory: pytest.TempPathFactory, layout: list[tuple[bool, int]]
) -> None:
    """The same data has the same digest at every site, with holes and without."""
    folder = tmp_path_factory.mktemp("layout")
    whole = sparse_file(folder / "x", layout)
    made = read_folder(folder).files[0]
    assert (made.size_bytes, made.digest) == (len(whole), blake3(whole).digest())
    with (folder / "x").open("rb") as source, (folder.parent / "copy").open("wb+") as target:
        finished(copying(source.fileno(), target.fileno(), len(whole)))
        assert os.pread(target.fileno(), len(whole) + 1, 0) == whole
        assert sum(each.size_bytes for each in segments(source.fileno(), len(whole))) == len(whole)


def test_a_hole_is_not_read(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty gibibytes of nothing cost a site 41 seconds of a core and the disk's whole attention."""
    read = 0
    pread = os.pread

    def counted(fd: int, size: int, offset: int) -> bytes:
        nonlocal read
        content = pread(fd, size, offset)
        read += len(content)
        return content

    monkeypatch.setattr(os, "pread", counted)
    assert read_folder(large).files[0].size_bytes == HOLE + BLOCK_BYTES + 3
    assert read <= 2 * MIB


def test_a_copy_has_the_same_holes(large: Path, tmp_path: Path) -> None:
    """A copy that fills them would fill the site's disk with zeros nobody wrote."""
    size = (large / "x").stat().st_size
    with (large / "x").open("rb") as source, (tmp_path / "copy").open("wb") as target:
        finished(copying(source.fileno(), target.fileno(), size))
    assert on_disk(tmp_path / "copy") <= MIB
    assert (tmp_path / "copy").stat().st_size == size


def test_zeros_that_come_in_become_holes_but_never_leave_old_bytes(tmp_path: Path) -> None:
    """What is brought from another site comes as zeros; what was damaged here must not shine through them."""
    path = tmp_path / "x"
    content = bytearray(4 * MIB)
    content[MIB : MIB + 3] = b"abc"
    with path.open("wb+") as file:
        file.truncate(8 * MIB)
        write_sparse(file.fileno(), 4 * MIB, content)
        assert on_disk(path) <= MIB
        os.pwrite(file.fileno(), b"damage", 6 * MIB)
        write_sparse(file.fileno(), 4 * MIB, content)
        assert os.pread(file.fileno(), 4 * MIB, 4 * MIB) == content
        assert os.pread(file.fileno(), 4 * MIB, 0) == bytes(4 * MIB)


def test_a_file_that_shrinks_meanwhile_ends_where_it_ends(tmp_path: Path) -> None:
    """Reading on for ever would take a worker from everybody."""
    (tmp_path / "x").write_bytes(b"abc")
    with (tmp_path / "x").open("rb") as file:
        assert b"".join(contents(file.fileno(), 5 * MIB))[:3] == b"abc"
