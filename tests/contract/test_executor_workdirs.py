"""A folder that travels with a job is laid out by its task, within whatever walls the engine has."""

from __future__ import annotations

from pathlib import Path

from executor_kinds import ProcessExecutor, a_task

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_sdk.workdir import MOUNT, unpack


async def test_a_task_runs_and_changes_its_copy_of_a_folder(executor: ProcessExecutor, tmp_path: Path) -> None:
    """Code that runs on a desk must run at every site, and no task may change what another reads."""
    replica = tmp_path / "replica"
    (replica / "pkg").mkdir(parents=True)
    (replica / "pkg" / "a.py").write_text("A = 1\n")
    (replica / "run.sh").write_text("#!/bin/sh\necho B = 2 >> pkg/a.py && touch pkg/new && cat latest\n")
    (replica / "latest").symlink_to("pkg/a.py")
    for path, mode in (("pkg/a.py", 0o400), ("run.sh", 0o500), ("pkg", 0o500), ("", 0o500)):
        (replica / path).chmod(mode)
    job = Job()
    job.package.variants.add(command=["./run.sh"])
    unpack(job)
    task = a_task("", command=tuple(job.package.variants[0].command), inputs=((MOUNT, replica),))
    await executor.start(task)
    look = await executor.over(task.key)
    assert (look.exit_status, executor.read_log(task.key, 0, 1000)[1]) == (0, b"A = 1\nB = 2\n")
    assert (replica / "pkg" / "a.py").read_text() == "A = 1\n"
    for path in ("", "pkg"):
        (replica / path).chmod(0o700)
