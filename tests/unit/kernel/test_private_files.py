"""What processes write is their owner's alone, whoever started them and whatever lay there before."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from suanmesh_chassis.ca import NodeCa, write_identity
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.private import NOT_KEPT, keep_private, private_folder, tighten, write_private


@pytest.fixture
def careless() -> Iterator[None]:
    """A umask that keeps nothing back, as a careless starter has it."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def rights(folder: Path) -> set[int]:
    """What anybody but the owner may do with anything in it."""
    return {path.lstat().st_mode & NOT_KEPT for path in (folder, *folder.rglob("*")) if not path.is_symlink()}


@pytest.mark.usefixtures("careless")
def test_what_is_written_private_is_so_under_any_umask(tmp_path: Path) -> None:
    """Keys, tokens and certificates must not wait for a careful starter."""
    home = tmp_path / "a" / "b"
    private_folder(home)
    write_private(home / "secret", b"x")
    ca = NodeCa.create("test", SystemClock())
    ca.save(home / "ca")
    write_identity(home / "tls", ca.issue("spiffe://test/service/registry"))
    assert rights(tmp_path / "a") == {0}


@pytest.mark.usefixtures("careless")
def test_a_process_that_keeps_private_makes_nothing_for_others(tmp_path: Path) -> None:
    """Stores and logs are written by libraries that know of no modes."""
    keep_private()
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "ledger.sqlite").touch()
    assert rights(tmp_path / "made") == {0}


@pytest.mark.usefixtures("careless")
def test_what_an_older_version_left_open_is_shut(tmp_path: Path) -> None:
    """An upgrade that protects new files only leaves the old ones to be read."""
    home = tmp_path / "home"
    (home / "deep").mkdir(parents=True)
    (home / "tasks" / "work").mkdir(parents=True)
    for path in (home / "agent.db", home / "deep" / "program", home / "tasks" / "work" / "theirs"):
        path.touch()
        path.chmod(0o6777)
    outside = tmp_path / "outside"
    outside.touch()
    (home / "link").symlink_to(outside)
    assert tighten(home, but=("work",)) == 0
    assert stat.S_IMODE((home / "deep" / "program").stat().st_mode) == 0o700
    assert (home / "tasks" / "work" / "theirs").stat().st_mode & NOT_KEPT
    assert stat.S_IMODE(outside.stat().st_mode) == 0o666
    assert rights(home / "deep") | rights(home / "agent.db") == {0}
    assert tighten(home / "nowhere") == 0


def test_a_folder_for_everybody_stays_so(tmp_path: Path) -> None:
    """`--data-dir /tmp` is a mistake; shutting /tmp for the whole machine would be a worse one."""
    tmp_path.chmod(0o1777)
    private_folder(tmp_path)
    tighten(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
