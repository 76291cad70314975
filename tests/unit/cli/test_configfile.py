"""The file of contexts: other programs and other people have it too."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest

from suanmesh_cli import configfile
from suanmesh_client import contexts
from suanmesh_kernel.refusals import FailedPrecondition

MESH = {"gateway": "h:1", "node": "n", "ca": "/ca.pem"}
EACH = 8


def _add(path: Path, who: str) -> None:
    for number in range(EACH):
        configfile.add(path, f"{who}{number}", MESH)


def test_of_two_that_write_at_once_neither_undoes_the_other(tmp_path: Path) -> None:
    """Who logs in at two nodes from one script would have a key and no context of one of them."""
    path = tmp_path / "new" / "config.toml"
    workers = [multiprocessing.get_context("spawn").Process(target=_add, args=(path, who)) for who in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert set(contexts.load([path]).contexts) == {f"{who}{number}" for who in "ab" for number in range(EACH)}
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_one_and_the_mode_stays(tmp_path: Path) -> None:
    """People keep such files in a folder of their own under version control, and some share them."""
    kept, link = tmp_path / "kept.toml", tmp_path / "config.toml"
    kept.write_text("# mine\n")
    kept.chmod(0o640)
    link.symlink_to(kept)
    configfile.add(link, "one", MESH)
    assert link.is_symlink()
    assert "# mine" in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640


@pytest.mark.parametrize("path", [Path("/proc/self/new/config.toml"), Path("/dev/null")])
def test_what_cannot_be_written_says_where_else(path: Path) -> None:
    """A home folder that is read-only is common where jobs run."""
    with pytest.raises(FailedPrecondition, match="CONTEXT_FILE_SHUT"):
        configfile.add(path, "one", MESH)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
