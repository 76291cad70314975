"""Whatever a program left behind can be removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from suanmesh_agent.trees import remove_tree


def dig(top: Path, depth: int, name: str) -> None:
    """So many folders, one in the other, as a program makes them that goes into each."""
    top.mkdir()
    here = os.open(top, os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT, dir_fd=here))
    os.close(here)


@pytest.mark.parametrize(("depth", "name"), [(1500, "a"), (30, "a" * 250), (3000, "b" * 100)])
def test_neither_depth_nor_length_is_in_the_way(tmp_path: Path, depth: int, name: str) -> None:
    """A folder that nobody can remove stays on the site's disk for good, and its agent stumbles over it for good."""
    dig(tmp_path / "work", depth, name)
    remove_tree(tmp_path / "work")
    assert list(tmp_path.iterdir()) == []


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    """Clearing up after a stranger must not clear away the site's own files."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "kept").touch()
    work = tmp_path / "work"
    (work / "deep").mkdir(parents=True)
    (work / "deep" / "link").symlink_to(tmp_path / "own")
    (work / "deep" / "same").hardlink_to(tmp_path / "own" / "kept")
    os.mkfifo(work / "pipe")
    remove_tree(work)
    (tmp_path / "other").symlink_to(tmp_path / "own")
    remove_tree(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    assert (tmp_path / "own" / "kept").exists()


def test_rights_that_were_taken_away_are_restored(tmp_path: Path) -> None:
    """A program that locks its folders must not keep them longer than it is paid for."""
    locked = tmp_path / "work" / "locked" / "more"
    locked.mkdir(parents=True)
    (locked / "file").touch()
    locked.chmod(0o000)
    locked.parent.chmod(0o000)
    (tmp_path / "work").chmod(0o000)
    remove_tree(tmp_path / "work")
    remove_tree(tmp_path / "work")
    assert list(tmp_path.iterdir()) == []
