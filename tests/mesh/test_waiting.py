"""Waiting at the command line while services come and go."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler_pb
from suanmesh_local import trials
from suanmesh_local.node import Node
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

SUAN = Path(sys.executable).parent / "suan"

JOB = """
account: demo
command: [python3, -c, "import time; time.sleep(60)"]
runtime: python3
cpu: 0.1
memory: 64Mi
max_duration: 2min
"""


async def test_a_restart_is_two_lines_to_whoever_waits(node: Node, user: Mesh) -> None:
    """The log of a night's wait must say that a service was away and is back, not a thousand times that it is away."""
    described = trials.job("print(1)")
    described.constraints.residency.append("nowhere")
    name = await trials.submit(user, "waited-for", described)
    environment = {**os.environ, "SUANMESH_CONFIG": str(node.folder / "config.toml"), "SUANMESH_LANG": "en"}
    waiting = await asyncio.create_subprocess_exec(
        SUAN, "job", "wait", name, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert waiting.stderr is not None
    first = (await waiting.stderr.readline()).decode()

    await asyncio.to_thread(node.services["scheduler"].kill)
    away = (await waiting.stderr.readline()).decode()
    node.services["scheduler"].start()
    back = (await waiting.stderr.readline()).decode()
    await trials.cancel(user, name)
    rest = (await waiting.stderr.read()).decode()

    assert first.startswith(f"{name} PENDING")
    assert away.endswith("no answer; asking on\n")
    assert back == "it answers again\n"
    assert [line.split()[1].strip(":") for line in rest.splitlines()][-1] == "CANCELLED"
    assert "no answer" not in rest
    assert await waiting.wait() == 1


async def test_ctrl_c_says_that_the_job_goes_on(node: Node, user: Mesh, tmp_path: Path) -> None:
    """Whoever stops `submit --wait` has not stopped the job, and must be able to come back to it."""
    (tmp_path / "job.yaml").write_text(JOB)
    environment = {**os.environ, "SUANMESH_CONFIG": str(node.folder / "config.toml"), "SUANMESH_LANG": "zh"}
    arguments = ("job", "submit", str(tmp_path / "job.yaml"), "--id", "goes-on", "--wait")
    waiting = await asyncio.create_subprocess_exec(
        SUAN, *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert waiting.stderr is not None
    for _ in range(2):
        line = (await waiting.stderr.readline()).decode()
    waiting.send_signal(signal.SIGINT)
    rest = (await waiting.stderr.read()).decode()
    left = await trials.job_now(user, "jobs/goes-on")
    await trials.cancel(user, "jobs/goes-on")

    assert "jobs/goes-on" in line
    assert "jobs/goes-on 仍在继续；用 `suan job wait goes-on` 回来" in rest
    assert await waiting.wait() == 130
    assert not left.cancel_requested


TICKS = """
import itertools, time
for tick in itertools.count():
    print(tick, flush=True)
    time.sleep(0.02)
"""


async def test_a_log_is_followed_through_restarts(node: Node, user: Mesh) -> None:
    """Somebody watches a training over night: no restart of a process may end that, repeat a line or lose one."""
    described = trials.job(TICKS)
    described.max_duration_s = 600
    name = await trials.submit(user, "watched", described)
    environment = {**os.environ, "SUANMESH_CONFIG": str(node.folder / "config.toml"), "SUANMESH_LANG": "en"}
    following = await asyncio.create_subprocess_exec(
        SUAN, "job", "logs", name, "-f", env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert following.stdout is not None
    lines = [await following.stdout.readline()]
    placed = scheduler_pb.GetPlacementRequest(name=(await trials.job_now(user, name)).placement)
    site = (await user.scheduler.GetPlacement(placed)).site.removeprefix("sites/")
    for process in (node.services["gateway"], node.services["scheduler"], node.agents[site]):
        await asyncio.to_thread(process.kill)
        process.start()
        for _ in range(100):  # more than lie in pipes
            lines.append(await following.stdout.readline())
    await trials.cancel(user, name)
    rest, _ = await following.communicate()

    ticks = [*b"".join(lines).split(), *rest.split()]
    assert ticks == [b"%d" % tick for tick in range(len(ticks))]
    assert following.returncode == 0
