"""What makes two datasets the same, and what a manifest may hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_content import (
    ContentFile,
    FolderError,
    Manifest,
    ManifestError,
    chunk_digest,
    manifest_from,
    manifest_to,
    plan_chunks,
    read_folder,
)

names = st.lists(st.text("ab文é", min_size=1, max_size=4), min_size=1, max_size=3).map("/".join)
files = st.builds(
    ContentFile,
    path=names,
    size_bytes=st.integers(0, 40),
    digest=st.binary(min_size=32, max_size=32),
    executable=st.booleans(),
)


def a_file(path: str, size: int = 1, *, executable: bool = False) -> ContentFile:
    return ContentFile(path, size, bytes(32), executable)


def test_the_digest_does_not_depend_on_the_order_files_are_found_in() -> None:
    """Two sites that list a folder differently must still agree that it is the same dataset."""
    one, two = a_file("b"), a_file("a")
    assert Manifest.of([one, two]).digest == Manifest.of([two, one]).digest


@pytest.mark.parametrize(
    "other",
    [a_file("b"), a_file("a", 2), a_file("a", executable=True), ContentFile("a", 1, b"\1" * 32)],
    ids=["path", "size", "executable", "content"],
)
def test_every_field_changes_the_digest(other: ContentFile) -> None:
    """A copy that differs in anything a reader can see must not pass for the dataset."""
    assert Manifest.of([a_file("a")]).digest != Manifest.of([other]).digest


def test_the_canonical_form_is_fixed() -> None:
    """A release that hashed manifests otherwise would lose every replica there is."""
    manifest = Manifest.of([ContentFile("bin/run", 5, bytes(range(32)), True), ContentFile("a", 0, bytes(32))])
    expected = (
        b"\n\x25\n\x01a\x1a\x20" + bytes(32) + b"\n\x2f\n\x07bin/run\x10\x05\x1a\x20" + bytes(range(32)) + b"\x20\x01"
    )
    assert manifest.canonical() == expected
    assert manifest.digest == blake3(expected).hexdigest()


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", ".", "../a", "a/../b", "a/./b", "a\0b", "a" * 1025, "\ud800"])
def test_a_path_cannot_lead_out_of_the_dataset(path: str) -> None:
    """A provider must not have files outside of the replica overwritten by somebody's manifest."""
    with pytest.raises(ManifestError):
        Manifest.of([a_file(path)])


@pytest.mark.parametrize(
    "bad",
    [
        [a_file("a"), a_file("a")],
        [a_file("a"), a_file("a/b")],
        [a_file("a", -1)],
        [ContentFile("a", 1, b"short")],
        [a_file("a"), a_file("a-b"), a_file("a/b")],
    ],
    ids=["twice", "file and folder", "negative", "digest", "file and folder apart"],
)
def test_a_manifest_no_folder_can_have_is_refused(bad: list[ContentFile]) -> None:
    """A transfer must fail before the first byte, not when the last file cannot be written."""
    with pytest.raises(ManifestError):
        Manifest.of(bad)


@given(st.lists(files, max_size=6, unique_by=lambda f: f.path), st.integers(1, 17))
def test_chunks_cover_every_byte_once(found: list[ContentFile], chunk_bytes: int) -> None:
    """A byte in no chunk is lost, a byte in two is paid for twice."""
    try:
        manifest = Manifest.of(found)
    except ManifestError:
        return
    chunks = plan_chunks(manifest, chunk_bytes)
    covered = [(c.file, byte) for c in chunks for byte in range(c.offset, c.offset + c.size_bytes)]
    assert covered == [(n, byte) for n, f in enumerate(manifest.files) for byte in range(f.size_bytes)]
    assert [c.index for c in chunks] == list(range(len(chunks)))
    assert all(1 <= c.size_bytes <= chunk_bytes for c in chunks)


@given(st.lists(files, max_size=6, unique_by=lambda f: f.path))
def test_a_manifest_survives_the_wire(found: list[ContentFile]) -> None:
    """A target that decodes another manifest than the source sent would fetch the wrong ranges."""
    try:
        manifest = Manifest.of(found)
    except ManifestError:
        return
    assert manifest_from(manifest_to(manifest)) == manifest


def test_a_folder_is_read_as_it_lies_on_disk(tmp_path: Path) -> None:
    """A publisher's dataset must hold every file, also those in folders, and the executable bit."""
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "x.bin").write_bytes(b"x" * 3_000_000)
    script = tmp_path / "run.sh"
    script.write_bytes(b"#!/bin/sh\n")
    script.chmod(0o755)
    (tmp_path / "empty").touch()

    manifest = read_folder(tmp_path)

    assert [(f.path, f.size_bytes, f.executable) for f in manifest.files] == [
        ("data/deep/x.bin", 3_000_000, False),
        ("empty", 0, False),
        ("run.sh", 10, True),
    ]
    assert manifest.files[0].digest == chunk_digest(b"x" * 3_000_000)
    assert manifest.size_bytes == 3_000_010


def test_a_link_in_a_folder_is_refused(tmp_path: Path) -> None:
    """A link to the host's keys must not be published as data."""
    (tmp_path / "key").symlink_to("/etc/hostname")
    with pytest.raises(FolderError, match="key"):
        read_folder(tmp_path)
    with pytest.raises(FolderError):
        read_folder(tmp_path / "absent")
