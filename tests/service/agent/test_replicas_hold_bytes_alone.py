"""A replica is the bytes of its files and whether they may be run: nothing else that a task put on them comes along."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from suanmesh_agent.journal import Journal
from suanmesh_agent.replicas import Replicas
from suanmesh_kernel.private import NOT_KEPT


def made(folder: Path, mode: int) -> Path:
    folder.mkdir()
    (folder / "program").write_text("#!/bin/sh\n")
    (folder / "program").chmod(mode)
    folder.chmod(0o3777)
    return folder


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o1777, 0o6666])
def test_no_bit_that_lends_rights_enters_a_replica(tmp_path: Path, link: bool, mode: int) -> None:
    """A program that runs with its owner's rights would be a way into the site that keeps it, and every next one."""
    folder = made(tmp_path / "out", mode)
    replicas = Replicas(tmp_path / "site")
    manifest = replicas.take_in({"": folder}, link=link)
    home = replicas.files(manifest.digest).parent
    assert {path.stat().st_mode & NOT_KEPT for path in (home, *home.rglob("*"))} == {0}
    assert manifest.files[0].executable is bool(mode & stat.S_IXUSR)


def test_what_a_program_wrote_beside_the_bytes_stays_behind(tmp_path: Path) -> None:
    """Attributes say who may read a file, or what it may do when it runs: none of them is data."""
    folder = made(tmp_path / "out", 0o755)
    try:
        os.setxattr(folder / "program", "user.note", b"x")
    except OSError:
        pytest.skip("this file system keeps no attributes")
    replicas = Replicas(tmp_path / "site")
    manifest = replicas.take_in({"": folder}, link=True)
    assert os.listxattr(replicas.files(manifest.digest) / "program") == []


def test_a_journal_is_its_owners_under_any_umask(tmp_path: Path) -> None:
    """It says who computes what here, and its neighbours hold what it is about to say."""
    before = os.umask(0)
    try:
        journal = Journal(tmp_path / "agent.db")
        journal.remember("x", "y")
        assert {path.stat().st_mode & NOT_KEPT for path in tmp_path.iterdir()} == {0}
        journal.close()
    finally:
        os.umask(before)
