"""A dataset that comes into a folder, broken off and gone on with by another process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from suanmesh_content import PACK_BYTES, folded, packs, read_folder
from suanmesh_sdk.incoming import Incoming, is_draft

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


def a_tree(folder: Path) -> Path:
    """Files, a link, an empty folder and an empty file."""
    (folder / "sub").mkdir(parents=True)
    (folder / "void").mkdir()
    (folder / "a").write_text("aaa")
    (folder / "sub" / "b").write_text("bbb")
    (folder / "empty").touch()
    (folder / "link").symlink_to("a")
    return folder


@pytest.mark.parametrize(
    ("path", "how", "named"),
    [
        ("a", "file", "a"),
        ("sub/b", "file", "sub/b"),
        ("empty", "file", "empty"),
        ("link", "file", "link"),
        ("void", "file", "void"),
        ("sub", "file", "sub"),
        ("sub", "link", "sub"),
        ("a", "folder", "a"),
        ("link", "link", "link"),
    ],
)
def test_what_a_user_has_written_is_found_before_anything_is_touched(
    tmp_path: Path, path: str, how: str, named: str
) -> None:
    """Fetched over a week's notes they are gone, and a folder of another's with them."""
    source, target = a_tree(tmp_path / "source"), tmp_path / "target"
    place = target / path
    place.parent.mkdir(parents=True)
    if how == "file":
        place.write_text("mine")
    elif how == "folder":
        (place / "inner").mkdir(parents=True)
    else:
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    before = {each: each.lstat().st_mtime_ns for each in target.rglob("*")}
    incoming = Incoming(target, read_folder(source))
    incoming.begin()
    assert incoming.differing == [named]
    assert {each: each.lstat().st_mtime_ns for each in target.rglob("*")} == before

    incoming.leave_differing()
    for pack in packs(source, read_folder(source), incoming.next_runs(1 << 40, RUNS_MAX)):
        incoming.take(pack)
    incoming.take_end()
    incoming.finish()
    kept = {each: each.lstat().st_mtime_ns for each in before if each.parent != target and how != "folder"}
    assert all(each.lstat().st_mtime_ns == then for each, then in kept.items())
    assert (how == "file" and place.read_text() == "mine") or place.is_symlink() or (place / "inner").is_dir()
    assert (target / "empty").exists()


def test_what_is_the_same_already_is_not_in_the_way(tmp_path: Path) -> None:
    """A script that fetches every night must not be asked every night."""
    source = a_tree(tmp_path / "source")
    again = Incoming(a_tree(tmp_path / "target"), read_folder(source))
    again.begin()
    assert again.differing == []
    (tmp_path / "target" / "a").chmod(0o755)
    bit = Incoming(tmp_path / "target", read_folder(source))
    bit.begin()
    assert bit.differing == []


def fetched(source: Path, target: Path, most: int = 1000) -> Incoming:
    """What comes of a folder with so many packs of it; all of it where there are no more."""
    manifest = read_folder(source)
    incoming = Incoming(target, manifest)
    incoming.begin()
    coming = list(packs(source, manifest, incoming.next_runs(1 << 40, RUNS_MAX)))
    for pack in coming[:most]:
        incoming.take(pack)
    if most < len(coming):
        incoming.pause()
        return incoming
    incoming.take_end()
    incoming.pause()
    incoming.finish()
    return incoming


def test_who_may_read_what_is_fetched_is_for_the_user_to_say(tmp_path: Path) -> None:
    """Patients' records that were fetched with a umask of 077 must not be read by the next account."""
    source = a_tree(tmp_path / "source")
    (source / "large").write_bytes(os.urandom(PACK_BYTES + 1))
    (source / "sub" / "b").chmod(0o755)
    before = os.umask(0o077)
    try:
        fetched(source, tmp_path / "target")
    finally:
        os.umask(before)
    modes = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "target").rglob("*") if each.is_file()}
    assert modes == {"a": 0o600, "link": 0o600, "empty": 0o600, "large": 0o600, "b": 0o700}


def test_a_name_alike_is_asked_for_by_itself(tmp_path: Path) -> None:
    """Where the file system takes `A` and `a` for one, what the user has under the other name is found all the same."""
    source, target = a_tree(tmp_path / "source"), tmp_path / "target"
    target.mkdir()
    (target / "A").write_text("mine")
    incoming = fetched(source, target)
    assert incoming.differing == []
    assert ((target / "A").read_text(), (target / "a").read_text()) == ("mine", "aaa")


def test_nothing_torn_has_a_name_of_the_dataset(tmp_path: Path) -> None:
    """A program that reads a folder while it is fetched, or after it broke off, must not take half a file for all."""
    source, target = a_tree(tmp_path / "source"), tmp_path / "target"
    (source / "c-large").write_bytes(os.urandom(3 * PACK_BYTES))
    fetched(source, target, most=2)
    whole = {each.path: each.digest for each in read_folder(source).files}
    named = {each.path: each.digest for each in read_folder(target).files if not is_draft(each.path.partition("/")[0])}
    assert 0 < len(named) < len(whole)
    assert named.items() <= whole.items()
    fetched(source, target)
    assert read_folder(target) == read_folder(source)


def two_names(folder: Path) -> Path:
    """Files that some file systems take for one, and one beside them."""
    folder.mkdir()
    for name in ("Readme", "readme", "other"):
        (folder / name).write_text(name)
    return folder


def test_names_that_collide_are_found_before_anything_is_fetched(tmp_path: Path) -> None:
    """Fetched onto a disk that knows no case, one of two files would have the other's content unnoticed."""
    source, target = two_names(tmp_path / "source"), tmp_path / "target"
    incoming = Incoming(target, read_folder(source), lambda _, name, other: folded(name) == folded(other))
    incoming.begin()
    assert incoming.colliding == [["Readme", "readme"]]
    assert os.listdir(target) == []  # noqa: PTH208

    incoming.leave_differing()
    for pack in packs(source, read_folder(source), incoming.next_runs(1 << 40, RUNS_MAX)):
        incoming.take(pack)
    incoming.take_end()
    incoming.finish()
    assert {each.name: each.read_text() for each in target.iterdir()} == {"Readme": "Readme", "other": "other"}


def test_names_that_the_disk_tells_apart_do_not_collide(tmp_path: Path) -> None:
    """`Makefile` and `makefile` are two files where they were written, and so they are where they are fetched."""
    source, target = two_names(tmp_path / "source"), tmp_path / "target"
    probe = tmp_path / "probe"
    probe.touch()
    if (tmp_path / "PROBE").exists():
        pytest.skip("this file system knows no case")
    assert fetched(source, target).colliding == []
    assert read_folder(target) == read_folder(source)


def many_in_a_folder(folder: Path) -> Path:
    """Small files of three packs below one folder at the top, and a large one among them."""
    (folder / "sub" / "deep").mkdir(parents=True)
    for number in range(60):
        (folder / "sub" / "deep" / f"small-{number:02}").write_bytes(os.urandom(PACK_BYTES // 20))
    (folder / "sub" / "large").write_bytes(os.urandom(2 * PACK_BYTES + 1))
    (folder / "sub" / "link").symlink_to("large")
    return folder


def test_a_folder_has_its_name_when_all_of_it_has_come(tmp_path: Path) -> None:
    """A program that waits for a folder must not begin with the half of it, nor a file that a kill has torn stay so."""
    source, target = many_in_a_folder(tmp_path / "source"), tmp_path / "target"
    first = fetched(source, target, most=2)
    assert not (target / "sub").exists()
    aside = sorted(each for each in target.rglob("small-*") if each.is_file())
    assert len(aside) > 20
    os.truncate(aside[0], 7)

    manifest = read_folder(source)
    again = Incoming(target, manifest)
    again.begin()
    assert again.differing == []
    assert first.bytes_done - again.bytes_done == PACK_BYTES // 20
    fetched(source, target)
    assert read_folder(target) == manifest


def test_what_somebody_puts_where_a_folder_comes_to_stays(tmp_path: Path) -> None:
    """Notes written into the folder while it is fetched must not be gone, nor keep the data away."""
    source, target = many_in_a_folder(tmp_path / "source"), tmp_path / "target"
    manifest = read_folder(source)
    incoming = Incoming(target, manifest)
    incoming.begin()
    for number, pack in enumerate(list(packs(source, manifest, incoming.next_runs(1 << 40, RUNS_MAX)))):
        if number == 1:
            (target / "sub").mkdir()
            (target / "sub" / "notes").write_text("mine")
        incoming.take(pack)
    incoming.take_end()
    incoming.pause()
    incoming.finish()
    assert (target / "sub" / "notes").read_text() == "mine"
    (target / "sub" / "notes").unlink()
    assert read_folder(target) == manifest
