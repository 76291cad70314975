"""The cheapest site has a full disk: a job that may run once is done at the next, as its first attempt."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

SITE = "guiyang"


@pytest.fixture
def full_site(node: Node) -> Iterator[str]:
    """The site, with not a byte left where tasks are laid out."""
    folder = node.folder / "sites" / SITE / "tasks"
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "full", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a full disk of its own takes root")
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    yield f"sites/{SITE}"
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_uses_up_no_attempt(full_site: str, user: Mesh) -> None:
    """Every job of the mesh failed at the cheapest site, while a healthy one beside it was idle."""
    described = trials.job("print('done')")
    described.max_attempts = 1
    described.constraints.allow_sites.extend([full_site, "sites/wuhu"])
    name = await trials.submit(user, "full-disk", described)
    job = await trials.ended(user, name)
    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason
    assert (job.attempt, list(job.refused_by)) == (1, [full_site])
    assert any(step.reason.code == "TASK_NOT_STARTED" for step in job.history), job.history
