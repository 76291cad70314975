"""Control groups as the kernel has them: of version 2 as much as it gives where others hold the controllers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from suanmesh_agent.domain.tasks import TaskKey, TaskSpec
from suanmesh_agent.engines.kubernetes import in_pod
from suanmesh_agent.engines.process.cgroups import Cgroups
from suanmesh_agent.engines.process.group_files import GroupFiles, oom_file_of
from suanmesh_agent.engines.process.layout import Layout

NONE = {"oom_file": "", "pids_file": "", "peak_file": ""}


def _hierarchy() -> Path | None:
    """A hierarchy of version 2 in which groups can be made; beside version 1 it has no controllers, but the rest."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found = (Path(line.split()[1]) for line in mounts if line.split()[2] == "cgroup2")
    return next((path for path in found if os.access(path, os.W_OK) and os.geteuid() == 0), None)


@pytest.fixture
def group() -> Iterator[Path]:
    """A group that is gone afterwards, with all that is in it."""
    root = _hierarchy()
    if root is None:
        pytest.skip("there is no cgroup v2 here in which a group can be made")
    folder = root / f"suan-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir()
    except OSError as fault:
        pytest.skip(f"no group can be made in {root}: {fault.strerror}")
    try:
        yield folder
    finally:
        (folder / "cgroup.kill").write_text("1")
        _until(lambda: "populated 0" in (folder / "cgroup.events").read_text())
        folder.rmdir()


def _until(holds: object) -> None:
    give_up = time.monotonic() + 60
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < give_up
        time.sleep(0.01)


def _files(folder: Path) -> GroupFiles:
    procs = str(folder / "cgroup.procs")
    return GroupFiles({"join": [procs], "members": [procs], "cpu_file": str(folder / "cpu.stat")} | NONE)


def test_what_runs_in_a_group_is_counted_and_ended_with_all_it_has_forked(group: Path) -> None:
    """A task that forks faster than it is killed would go on unpaid; one that is not counted is billed nothing."""
    files = _files(group)
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            files.enter()
            for _ in range(3):
                os.fork()
            burnt = time.process_time() + 0.05
            while time.process_time() < burnt:
                pass
            os.write(begun, b"x")
            while True:
                signal.pause()
        finally:
            os._exit(1)
    os.close(begun)
    assert len(b"".join(os.read(ready, 1) for _ in range(8))) == 8
    os.close(ready)
    members = files.members()
    assert child in members
    assert len(members) == 8
    assert (files.cpu_us() or 0) >= 8 * 50_000
    assert files.kill_all()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    _until(lambda: not files.members())


def test_whom_the_kernel_ends_for_memory_in_a_group_of_a_schedulers_has_used_too_much(tmp_path: Path) -> None:
    """Slurm and Kubernetes bound a task with what starts it; "exit status 137" would have it fail again elsewhere."""
    group = Path("/sys/fs/cgroup/memory") / f"suan-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError as fault:
        pytest.skip(f"no group of version 1 that bounds memory can be made here: {fault.strerror}")
    try:
        (group / "memory.limit_in_bytes").write_text(str(96 << 20))
        waste = f"{sys.executable} -I -S -c 'kept = bytearray(1 << 30)'"
        spec = TaskSpec(TaskKey("p", 0), ("sh", "-c", waste), max_duration_s=60)
        layout = Layout(tmp_path.resolve() / "tasks", (), None, None, None, queued=True)
        layout.lay_out(spec)
        shim = layout.home(spec.key) / "shim"
        words = f'echo $$ > {group}/cgroup.procs; exec "$@"'
        pod = [sys.executable, "-I", "-m", in_pod.__name__, str(shim)]
        subprocess.run(["sh", "-c", words, "sh", *pod], check=True, timeout=120)
        ended = json.loads((shim / "exit.json").read_text())
        assert (ended["failure"], ended["exit_status"]) == ("OUT_OF_MEMORY", 137)
    finally:
        _until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()


def test_a_hierarchy_that_lacks_controllers_is_left_as_it_was() -> None:
    """An agent would else fail every task, or leave groups behind that nobody looks after."""
    root = _hierarchy()
    if root is None or {"cpu", "memory", "pids"} <= set((root / "cgroup.controllers").read_text().split()):
        pytest.skip("there is no cgroup v2 here that lacks controllers")
    before = {path.name for path in root.iterdir()}
    assert not Cgroups(f"try-{uuid.uuid4().hex[:8]}", root).usable()
    assert {path.name for path in root.iterdir()} - before == set()


@pytest.mark.parametrize(
    ("groups", "there", "found"),
    [
        ("0::/a/b", "a/b/memory.events", "a/b/memory.events"),
        ("0::/", "memory.events", "memory.events"),
        ("0::/of/the/host", "memory.events", "memory.events"),
        ("4:memory:/slurm/uid_1/job_2\n0::/", "memory/slurm/uid_1/job_2/memory.oom_control", None),
        ("2:cpu,memory:/of/the/host", "memory/memory.oom_control", "memory/memory.oom_control"),
        ("3:cpu:/a", "cpu/a/cpu.stat", ""),
        ("", "memory.events", ""),
    ],
)
def test_whom_the_kernel_kills_in_a_pod_or_a_job_is_counted_there(
    tmp_path: Path, groups: str, there: str, found: str | None
) -> None:
    """A task that used more memory than it asked for would else have failed by itself, and fail again elsewhere."""
    (tmp_path / "root" / there).parent.mkdir(parents=True)
    (tmp_path / "root" / there).touch()
    (tmp_path / "groups").write_text(groups)
    wanted = there if found is None else found
    assert oom_file_of(tmp_path / "groups", tmp_path / "root") == (str(tmp_path / "root" / wanted) if wanted else "")
