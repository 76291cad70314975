"""What an executor promises of the control groups that it makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from executor_kinds import a_task, make_executor


@pytest.mark.parametrize("kind", ["cgroups", "sandbox-cgroups"])
async def test_what_ran_before_in_the_same_control_group_is_not_metered(kind: str, tmp_path: Path) -> None:
    """A group outlives an agent whose folder was cleared by hand: what it had counted would be billed once more."""
    burns = a_task("import time\nwhile time.process_time() < 1: pass")
    first, second = (make_executor(kind, tmp_path / folder) for folder in ("cleared", "new"))
    for executor, task in ((first, burns), (second, a_task("", key=burns.key))):
        await executor.start(task)
        look = await executor.over(task.key)
    for executor in (first, second):
        executor.forget(burns.key.placement)
        executor.close()
    assert look.succeeded
    assert 0 < look.usage.cpu_us < 1_000_000
