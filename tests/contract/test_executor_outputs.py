"""What every executor promises of an output whose folder a task has replaced by a link."""

from __future__ import annotations

import pytest
from executor_kinds import ProcessExecutor, a_task

from suanmesh_content import FolderError

BEST_OF_RUNS = """
import os
os.rmdir('out'); os.makedirs('runs/7'); os.symlink('runs/7', 'latest')
open('runs/7/model', 'w').write('w')
os.symlink({best}, 'runs/7/best'); os.symlink({out}, 'out')
"""


async def _delivered(executor: ProcessExecutor, best: str, out: str) -> dict[str, str]:
    task = a_task(BEST_OF_RUNS.format(best=best, out=out), outputs=("out",))
    await executor.start(task)
    assert (await executor.over(task.key)).succeeded
    return {file.path: file.link for file in executor.collect(task.key, "out")}


@pytest.mark.parametrize("out", ["'runs/7'", "'latest'", "'runs/../runs/7'"])
async def test_an_output_that_became_a_link_is_delivered(executor: ProcessExecutor, out: str) -> None:
    """A training script that puts a link to its last run in the place of its output would have trained for nothing."""
    assert await _delivered(executor, "'model'", out) == {"model": "", "best": "model"}


@pytest.mark.parametrize("kind", ["sandbox", "sandbox-folder"])
async def test_a_link_by_the_path_that_the_task_knows_leads_there(executor: ProcessExecutor) -> None:
    """Scripts that make every path absolute first are many."""
    found = await _delivered(executor, "os.path.abspath('runs/7/model')", "os.path.abspath('runs/7')")
    assert found == {"model": "", "best": "model"}


@pytest.mark.parametrize("target", ["/etc", "..", "in/../../x", "../work/../../tmp"])
async def test_an_output_that_leads_out_is_refused(executor: ProcessExecutor, target: str) -> None:
    """The site's own files must not become somebody's results."""
    task = a_task(f"import os\nos.rmdir('out'); os.symlink({target!r}, 'out')", outputs=("out",))
    await executor.start(task)
    await executor.over(task.key)
    with pytest.raises(FolderError, match="leads out"):
        executor.output(task.key, "out")
