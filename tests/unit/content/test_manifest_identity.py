"""What makes two datasets the same, and what a manifest may hold."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_content import (
    ContentFile,
    FolderError,
    LeftOut,
    Manifest,
    ManifestError,
    Why,
    a_folder,
    a_link,
    chunk_digest,
    folder_entries,
    manifest_from,
    manifest_to,
    plan_chunks,
    read_folder,
)
from suanmesh_content.links import leading_out

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
    [
        a_file("b"),
        a_file("a", 2),
        a_file("a", executable=True),
        ContentFile("a", 1, b"\1" * 32),
        a_link("a", "b"),
        a_folder("a"),
    ],
    ids=["path", "size", "executable", "content", "link", "folder"],
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
    others = Manifest.of([a_link("b", "a\udcff"), a_folder("a")])
    assert others.canonical() == b"\n\x05\n\x01a\x30\x01" + b"\n\x07\n\x01b\x2a\x02a\xff"


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
        [a_link("a", "b"), a_file("a/b")],
        [a_folder("a"), a_file("a/b")],
        [ContentFile("a", 1, bytes(32), link="b")],
        [ContentFile("a", 0, b"", folder=True, link="b")],
        [a_link("a", "b\0")],
    ],
    ids=[
        "twice",
        "file and folder",
        "negative",
        "digest",
        "file and folder apart",
        "under a link",
        "in an empty folder",
        "link with bytes",
        "link and folder",
        "target",
    ],
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


LINKS = {
    "beside": ({"a": "b"}, True),
    "below": ({"a": "b/c"}, True),
    "up and down": ({"d/a": "../b"}, True),
    "the top": ({"d/a": ".."}, True),
    "to nothing": ({"a": "nowhere/../b"}, True),
    "absolute": ({"a": "/etc/passwd"}, False),
    "above": ({"a": "../b"}, False),
    "far above": ({"d/e/a": "../../../b"}, False),
    "in a circle": ({"a": "b", "b": "a"}, False),
    "to itself": ({"a": "a"}, False),
    "over a link to the top": ({"d/a": "..", "d/b": "a/../etc"}, False),
    "over a link that leads out": ({"a": "..", "b": "a/etc"}, False),
    "over a link within": ({"d/a": "../e/f", "x": "d/a/../g"}, True),
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_leads_nowhere_but_within(kind: str) -> None:
    """Whoever reads a dataset must not be led by it to the keys that lie beside it."""
    links, sound = LINKS[kind]
    entries = [a_link(path, target) for path, target in links.items()]
    if sound:
        assert len(Manifest.of(entries).files) == len(links)
    else:
        with pytest.raises(ManifestError, match="leads out"):
            Manifest.of(entries)


parts = st.sampled_from(["a", "b", "..", "."])


@given(
    st.dictionaries(
        st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3).map("/".join),
        st.lists(parts, min_size=1, max_size=5).map("/".join),
        max_size=5,
    )
)
def test_no_link_of_a_sound_tree_leaves_it_on_disk(links: dict[str, str]) -> None:
    """What is judged from the manifest must be what the system does with it."""
    try:
        manifest = Manifest.of([a_link(path, target) for path, target in links.items()])
    except ManifestError:
        return
    with tempfile.TemporaryDirectory() as outer:
        top = Path(outer, "1", "2", "3", "4", "top")
        for file in manifest.files:
            (top / file.path).parent.mkdir(parents=True, exist_ok=True)
            (top / file.path).symlink_to(file.link)
        for file in manifest.files:
            assert (top / file.path).resolve().is_relative_to(top.resolve())


def test_links_that_lead_through_links_cost_no_more_than_a_bound() -> None:
    """A manifest of a few hundred kilobytes would else keep a site busy for hours."""
    entangled = {f"l{i:05}": "/".join(["x/.."] * 300) for i in range(20_000)}
    assert len(leading_out(entangled)) > 0


def test_a_folder_with_links_is_read_with_those_that_stay_within(tmp_path: Path) -> None:
    """A link to the host's keys must not be published as data, and must not keep the rest from being it."""
    (tmp_path / "epoch-3.pt").write_text("w")
    (tmp_path / "latest.pt").symlink_to("epoch-3.pt")
    (tmp_path / "key").symlink_to("/etc/hostname")
    (tmp_path / "empty" / "er").mkdir(parents=True)
    with pytest.raises(FolderError, match="key"):
        read_folder(tmp_path)
    left_out = LeftOut()
    manifest = read_folder(tmp_path, left_out)
    assert [(f.path, f.link, f.folder) for f in manifest.files] == [
        ("empty/er", "", True),
        ("epoch-3.pt", "", False),
        ("latest.pt", "epoch-3.pt", False),
    ]
    assert left_out.named == {"key": Why.LINK_LEADS_OUT}
    with pytest.raises(FolderError):
        read_folder(tmp_path / "absent")


def test_a_link_by_the_whole_path_of_its_folder_is_one_within(tmp_path: Path) -> None:
    """Programs link by the paths they are told; where the folder lies elsewhere, such a link would lead nowhere."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "a").write_text("a")
    (tmp_path / "deep" / "b").symlink_to("/task/out/a")
    (tmp_path / "c").symlink_to("/task/outer/a")
    left_out = LeftOut()
    found = {entry.path: entry.link for entry in folder_entries(tmp_path, left_out, known_as=["/task/out"])}
    assert found == {"a": "", "deep/b": "../a"}
    assert list(left_out.named) == ["c"]


def test_a_folder_whose_files_are_all_left_out_is_an_empty_one(tmp_path: Path) -> None:
    """A tree keeps its shape whatever of it cannot be carried."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "key").symlink_to("/etc/hostname")
    assert [(f.path, f.folder) for f in read_folder(tmp_path, LeftOut()).files] == [("d", True)]
