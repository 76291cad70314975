"""Files in packs: whatever lies in a folder is the same where it comes out, also when it breaks off on its way."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.agent.v1.agent_service_pb2 import FilePart, WriteFilesRequest
from suanmesh_content import (
    PACK_BYTES,
    LeftOut,
    Manifest,
    Part,
    PartError,
    Place,
    Unpacking,
    carried,
    packs,
    parts_of,
    read_folder,
    runs_of,
    serialized,
)

names = st.binary(min_size=1, max_size=12).map(lambda name: name.replace(b"/", b"-").replace(b"\0", b"-"))
legal = names.filter(lambda name: name not in (b".", b".."))
files = st.tuples(st.binary(max_size=3000), st.booleans())
links = st.sampled_from([b"elsewhere", b"..", b".", b"/etc/passwd", b"../../x"])
trees = st.recursive(
    st.dictionaries(legal, st.one_of(files, links), max_size=4),
    lambda inner: st.dictionaries(legal, st.one_of(files, links, inner), max_size=4),
    max_leaves=12,
)


def lay_out(folder: bytes, tree: dict[bytes, object]) -> None:
    os.mkdir(folder)  # noqa: PTH102 - names that are no text
    for name, what in tree.items():
        path = folder + b"/" + name
        if isinstance(what, dict):
            lay_out(path, what)
        elif isinstance(what, bytes):
            os.symlink(what, path)  # noqa: PTH211
        else:
            content, executable = what  # type: ignore[misc]
            with open(path, "wb") as file:  # noqa: PTH123
                file.write(content)
            os.chmod(path, 0o755 if executable else 0o644)  # noqa: PTH101


def sent(source: Path, target: Path, manifest: Manifest, begin: Place = Place()) -> Unpacking:  # noqa: B008
    """Everything from `begin` on, into files by their numbers."""
    unpacking = Unpacking(manifest, lambda number: f"{target}/{number}", lambda *_: None, begin)
    wanted = [n for n in range(begin.file, len(manifest.files)) if carried(manifest, n)]
    for pack in packs(source, manifest, runs_of(manifest, wanted, begin)):
        unpacking.take(pack)
    unpacking.end()
    return unpacking


@given(trees)
def test_every_legal_tree_comes_out_as_it_went_in(tree: dict[bytes, object]) -> None:
    """Names, bits, links and empty folders are data: who fetches a folder must find the one that was put."""
    with tempfile.TemporaryDirectory() as outer:
        source, target = Path(outer, "source"), Path(outer, "target")
        lay_out(os.fsencode(source), tree)
        target.mkdir()
        manifest = read_folder(source, LeftOut())
        sent(source, target, manifest)
        for number, file in enumerate(manifest.files):
            if carried(manifest, number):
                assert (target / str(number)).read_bytes() == Path(f"{source}/{file.path}").read_bytes()
                assert bool((target / str(number)).stat().st_mode & 0o100) is file.executable


def test_what_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """A gigabyte must not be sent again for the last megabyte of it."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(), target.mkdir()
    (source / "a").write_bytes(os.urandom(2 * PACK_BYTES + 17))
    (source / "b").write_bytes(b"small")
    manifest = read_folder(source)
    first = Unpacking(manifest, lambda number: f"{target}/{number}", lambda *_: None)
    first.take(next(packs(source, manifest, runs_of(manifest, [0, 1]))))
    first.close()
    assert first.place == Place(0, PACK_BYTES)
    sent(source, target, manifest, first.place)
    assert [(target / str(n)).read_bytes() for n in (0, 1)] == [(source / n).read_bytes() for n in ("a", "b")]


def test_holes_are_not_sent(tmp_path: Path) -> None:
    """A sparse image of a terabyte holds a few megabytes, and its owner waits for those."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(), target.mkdir()
    with (source / "sparse").open("wb") as file:
        file.truncate(1 << 32)
        file.seek(1 << 31)
        file.write(b"in the middle")
    (source / "void").touch()
    os.truncate(source / "void", 1 << 30)
    manifest = read_folder(source)
    assert sum(len(p.content) for pack in packs(source, manifest, runs_of(manifest, [0, 1])) for p in pack) < PACK_BYTES
    sent(source, target, manifest)
    assert [(target / name).stat().st_size for name in ("0", "1")] == [1 << 32, 1 << 30]
    assert sum((target / name).stat().st_blocks for name in ("0", "1")) * 512 < PACK_BYTES
    with (target / "0").open("rb") as file:
        file.seek(1 << 31)
        assert file.read(13) == b"in the middle"


@pytest.mark.parametrize(
    "parts",
    [
        [Part(1, 0, b"x"), Part(0, 0, b"x")],
        [Part(0, 2, b"x"), Part(0, 0, b"x")],
        [Part(0, 3, b"xx")],
        [Part(5, 0, b"x")],
        [Part(-1, 0, b"x")],
    ],
    ids=["back", "back in a file", "beyond its end", "no file", "before the first"],
)
def test_what_was_not_asked_for_is_refused(tmp_path: Path, parts: list[Part]) -> None:
    """A stranger's stream must not write where nothing of theirs is to lie."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"1234")
    manifest = read_folder(tmp_path)
    unpacking = Unpacking(manifest, lambda number: f"{tmp_path}/to-{number}", lambda *_: None)
    with pytest.raises(PartError):
        unpacking.take(parts)
    unpacking.close()


@given(st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**62), st.binary(max_size=300)), max_size=8))
def test_a_message_is_what_protobuf_makes_of_it(parts: list[tuple[int, int, bytes]]) -> None:
    """Other people's clients and sites read it by the contract alone."""
    pack = [Part(*part) for part in parts]
    made = WriteFilesRequest(parts=[FilePart(file=p.file, offset=p.offset, content=p.content) for p in pack])
    assert serialized(pack, WriteFilesRequest.PARTS_FIELD_NUMBER) == made.SerializeToString()


NUMBERS, OFFSETS = st.integers(-2, 1 << 30), st.integers(-2, 1 << 40)
A_FILE = st.builds(FilePart, file=NUMBERS, offset=OFFSETS, content=st.binary(max_size=9))
SAME = st.builds(FilePart, file=st.integers(0, 9), same_bytes=st.integers(0, 9))
MESSAGES = st.builds(WriteFilesRequest, parts=st.lists(st.one_of(A_FILE, SAME), max_size=4), ends=st.booleans())


@given(st.one_of(MESSAGES.map(lambda message: message.SerializeToString()), st.binary(max_size=30)), st.integers(0, 40))
def test_a_message_is_read_as_protobuf_reads_it(message: bytes, cut: int) -> None:
    """Read otherwise, a caller's bytes would come to another place of another's file; what is none is for protobuf."""
    for raw in (message, message[:cut], message[:cut] + b"\0", b"\x2a" + message):
        found = parts_of(raw, WriteFilesRequest.PARTS_FIELD_NUMBER)
        if found is None:
            continue
        read = WriteFilesRequest.FromString(raw)
        assert [(part.file, part.offset, part.content) for part in read.parts] == found
        assert read == WriteFilesRequest(parts=[FilePart(file=n, offset=o, content=bytes(c)) for n, o, c in found])


@pytest.mark.parametrize(
    "message",
    [
        serialized([Part(0, 0, bytes(PACK_BYTES + 1))], 5),
        serialized([Part(0, 0, b"")] * 1001, 5),
        WriteFilesRequest(ends=True).SerializeToString(),
        b"\x2a\x0c\x08" + b"\xff" * 11,
    ],
    ids=["more bytes than a part has", "more parts than a message has", "no parts", "a number without an end"],
)
def test_what_breaks_a_bound_is_for_protobuf_to_refuse(message: bytes) -> None:
    """The contract's bounds hold for who writes messages by hand, too."""
    assert parts_of(message, 5) is None


def test_the_digest_of_what_came_is_that_of_the_file(tmp_path: Path) -> None:
    """Whatever breaks off where, and wherever holes are: a file counts as whole by this digest alone."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(), target.mkdir()
    with (source / "large").open("wb") as file:
        file.write(os.urandom(2 * PACK_BYTES + 5))
        file.truncate(5 * PACK_BYTES)
        file.seek(6 * PACK_BYTES)
        file.write(os.urandom(PACK_BYTES))
        file.truncate(8 * PACK_BYTES + 1)
    (source / "small").write_bytes(b"small")
    manifest = read_folder(source)
    digests: dict[int, bytes] = {}
    place = Place()
    for most in (1, 2, 1, 100):
        unpacking = Unpacking(manifest, lambda number: f"{target}/{number}", digests.__setitem__, place)
        for pack in list(packs(source, manifest, runs_of(manifest, range(place.file, 2), place)))[:most]:
            unpacking.take(pack)
        unpacking.end() if most == 100 else unpacking.close()
        place = unpacking.place
    assert digests == {number: file.digest for number, file in enumerate(manifest.files)}


def test_a_file_that_may_not_be_written_to_comes_again(tmp_path: Path) -> None:
    """What a site has made read-only and finds damaged has to be replaced, or the upload never ends."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(), target.mkdir()
    (source / "a").write_bytes(b"whole")
    manifest = read_folder(source)
    for _ in range(2):
        unpacking = Unpacking(manifest, lambda n: f"{target}/{n}", lambda *_: None, modes_of_whole=(0o400, 0o500))
        for pack in packs(source, manifest, runs_of(manifest, [0])):
            unpacking.take(pack)
        unpacking.end()
        assert ((target / "0").read_bytes(), (target / "0").stat().st_mode & 0o777) == (b"whole", 0o400)


def test_small_sparse_files_stay_sparse(tmp_path: Path) -> None:
    """A thousand files of a mebibyte, of which a page is used, would take a gigabyte where they come out."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(), target.mkdir()
    with (source / "a").open("wb") as file:
        file.truncate(PACK_BYTES)
        file.write(b"x")
    manifest = read_folder(source)
    sent(source, target, manifest)
    assert (target / "0").read_bytes() == (source / "a").read_bytes()
    assert (target / "0").stat().st_blocks * 512 < PACK_BYTES // 2
