"""What the folders of tasks say of them."""

from __future__ import annotations

from pathlib import Path

from suanmesh_agent.domain.tasks import TaskKey
from suanmesh_agent.engines.process.task_folders import TaskFolders


def test_what_was_cleared_up_is_cleared_up_again_after_another_run(tmp_path: Path) -> None:
    """A site's disk fills with the working folders of placements that nobody looks at any more."""
    key, folders = TaskKey("p", 0), TaskFolders(tmp_path)
    home = folders.home(key)
    (home / "shim").mkdir(parents=True)
    (home / "shim" / "exit.json").touch()
    assert not folders.has_work("p")
    folders.begin(key)
    (home / "work").mkdir()
    assert folders.has_work("p")


def test_a_task_that_is_being_laid_out_is_not_taken_for_cleared_up(tmp_path: Path) -> None:
    """It is looked through the disk at any time, also between two folders of a start."""
    key, folders = TaskKey("p", 0), TaskFolders(tmp_path)
    folders.begin(key)
    folders.home(key).mkdir(parents=True)
    assert not folders.has_work("p")
    (folders.home(key) / "work").mkdir()
    assert folders.has_work("p")
