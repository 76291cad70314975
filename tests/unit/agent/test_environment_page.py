"""The page on what a task finds says what the agent does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh_agent.domain.endings import reason_of
from suanmesh_agent.domain.starts import UNSTARTABLE
from suanmesh_agent.domain.tasks import (
    LOG_BYTES_MAX,
    PROCESSES_MAX,
    SCRATCH_BYTES_UNASKED,
    TaskKey,
    TaskLook,
    TaskState,
)
from suanmesh_agent.engines.process.layout import Layout
from suanmesh_agent.engines.process.sandbox import Sandbox
from suanmesh_agent.engines.process.shim import FENCE_GRACE_S, TERM_GRACE_S
from suanmesh_agent.engines.process.walls import ETC, INSIDE, SYSTEM
from suanmesh_agent.wire import task_of

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference"
PAGES = ("task-environment.md", "task-environment.zh-CN.md")


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    return (FOLDER / request.param).read_text()


def cells(page: str, title: int) -> list[str]:
    """The first cell of each row of the table under the title of that number."""
    section = page.split("\n## ")[title]
    return [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")][1:]


def environment(tmp_path: Path, sandbox: Sandbox | None) -> dict[str, str]:
    """What the shim is told to give a task that has a parameter, a secret and a setup."""
    work = placement_pb2.Work(
        count=2,
        variant=job_pb2.Variant(command=["true"]),
        parameters=[job_pb2.Parameter(name="<NAME>", values=["1", "2"])],
        secrets=[placement_pb2.Work().secrets.add(name="TOKEN")],
    )
    spec = task_of(placement_pb2.Placement(name="placements/p", work=work), TaskKey("p", 0), (), tmp_path, tmp_path)
    layout = Layout(tmp_path, (Path("/python/bin"),), sandbox, None, None)
    found: dict[str, str] = layout._shim_spec(spec, ())["env"]
    return found | dict(spec.variables)


def test_every_variable_is_told_of(page: str, tmp_path: Path) -> None:
    """A script that reads a variable by its page must find it."""
    told = {name for cell in cells(page, 1) for name in re.findall(r"`([A-Z_<>]+)`", cell)}
    found = environment(tmp_path, Sandbox("/usr/bin/bwrap", ()))
    assert told == found.keys()
    assert f"| `HOME` | `{found['HOME']}` |" in page
    assert found["PATH"].endswith("/usr/local/bin:/usr/bin:/bin")
    bare = environment(tmp_path, None)
    assert bare.keys() - found.keys() == {"TMPDIR"}


def test_every_folder_is_told_of(page: str) -> None:
    """A program that looks for certificates in /etc should learn before it runs that there are none."""
    told = {name for cell in cells(page, 2) for name in re.findall(r"`(/[\w./]+)`", cell)}
    assert told == {INSIDE, "/tmp", "/dev/shm", "/usr", "/etc", "/proc", *(f"/{name}" for name in SYSTEM)}
    assert all(f"`{name}`" in page for name in ETC)


def test_bounds_are_those_of_the_agent(page: str) -> None:
    """A bound that is met by surprise costs the run."""
    assert f"{SCRATCH_BYTES_UNASKED >> 30} GiB" in page
    assert f"{LOG_BYTES_MAX >> 20} MiB" in page
    assert str(PROCESSES_MAX) in page
    assert re.search(rf"{TERM_GRACE_S:.0f} (s|秒)", page)
    assert re.search(rf"{FENCE_GRACE_S:.0f} (s|秒)", page)


def test_exit_statuses_have_their_reasons(page: str) -> None:
    """Whoever sees 127 looks it up here."""
    section = page.split("\n## ")[5]
    for status, code in UNSTARTABLE.items():
        assert re.search(rf"^\| {status} \|.*`{code}`", section, re.MULTILINE)
    failed = reason_of(0, TaskLook(TaskState.ENDED, exit_status=1))
    assert f"`{failed.code}`" in section
