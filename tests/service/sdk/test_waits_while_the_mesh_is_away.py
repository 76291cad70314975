"""Waiting for what a mesh that is dead or frozen cannot tell of."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import (
    ReadJobLogsRequest,
    ReadJobLogsResponse,
    SubmitJobResult,
    SubmitJobsResponse,
)
from suanmesh_client import Client, contexts, reach
from suanmesh_client.jobs import JobHandle, wait_all
from suanmesh_kernel.refusals import NotFound, Unavailable

JOB_FILE = "account: accounts/a\nask: {cpu_milli: 1000}\npackage: {variants: [{command: [python3]}]}\n"
RUNNING = Job(name="jobs/x", state=Job.STATE_RUNNING)

Run = Callable[..., Awaitable[Result]]
Environment = dict[str, str]


@pytest.fixture(params=["frozen", "dead"])
def away(request: pytest.FixtureRequest, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The gateway of the context takes connections and says nothing, or takes none."""
    monkeypatch.setattr(reach, "ANSWER_S_MAX", 0.2)
    with socket.socket() as listens:
        listens.bind(("127.0.0.1", 0))
        if request.param == "frozen":
            listens.listen()
        environment["SUANMESH_GATEWAY"] = f"127.0.0.1:{listens.getsockname()[1]}"
        yield


async def never(_: bytes, __: Any) -> bytes:
    """As a service that stands still behind a gateway that does not."""
    await asyncio.Event().wait()
    return b""


async def restarting(_: bytes, __: Any) -> bytes:
    """As a gateway whose service is away."""
    raise Unavailable("NOT_READY", "no instance")


def falls_silent_after(message: Any) -> Any:
    """A stream that says one thing and stays open."""

    async def stream(_: bytes, context: Any) -> None:
        await context.write(message.SerializeToString())
        await asyncio.Event().wait()

    return stream


@pytest.mark.parametrize(
    "command",
    [
        "job wait x",
        "job wait x y",
        "job submit FILE --wait",
        "job rerun x --wait",
        "job logs x -f",
        "job logs x y -f",
        "job logs x --all-tasks -f",
        "job show x",
        "job list --watch",
        "transfer watch t",
    ],
)
async def test_a_mesh_that_is_away_is_not_said_to_be_slow(away: None, run: Run, tmp_path: Path, command: str) -> None:
    """A script that asks on at exit status 7 would ask a dead mesh for ever, and its owner would suspect his job."""
    (tmp_path / "job.yaml").write_text(JOB_FILE)
    done = await run(*command.replace("FILE", str(tmp_path / "job.yaml")).split(), "--timeout", "300ms")
    assert done.exit_code == 8, done.stderr
    assert "error: UNAVAILABLE " in done.stderr
    assert "STILL_RUNNING" not in done.stderr


@pytest.mark.parametrize("silent", [never, restarting])
@pytest.mark.parametrize("command", ["job wait x", "job submit FILE --wait", "job logs x -f", "transfer watch t"])
async def test_a_service_that_falls_silent_later_is_away_too(
    oracle: Any, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: Any, command: str
) -> None:
    """The line to a frozen service stays open, and the last that it said would be taken for its present word."""
    monkeypatch.setattr(reach, "ANSWER_S_MAX", 0.2)
    (tmp_path / "job.yaml").write_text(JOB_FILE)
    oracle.answer = silent
    oracle.answers["SubmitJobs"] = SubmitJobsResponse(results=[SubmitJobResult(job=Job(name="jobs/x"))])
    oracle.stream = falls_silent_after(ReadJobLogsResponse(content=b"begun\n") if "logs" in command else RUNNING)
    done = await run(*command.replace("FILE", str(tmp_path / "job.yaml")).split(), "--timeout", "1")
    assert done.exit_code == 8, done.stderr
    assert "error: UNAVAILABLE MESH_UNREACHABLE: there has been no answer for" in done.stderr
    assert "what was begun goes on" in done.stderr


async def test_what_another_cannot_tell_keeps_no_job_away(oracle: Any, run: Run) -> None:
    """Of several logs the one that there is must be read, and the script must still see that one was not."""

    def told(request: bytes) -> list[Any]:
        known = ReadJobLogsRequest.FromString(request).name == "jobs/x"
        return [ReadJobLogsResponse(content=b"begun\n") if known else NotFound("JOB_UNKNOWN", "no job jobs/y")]

    oracle.answers["ReadJobLogs"] = told
    oracle.answers["GetJob"] = NotFound("JOB_UNKNOWN", "no job jobs/y")
    done = await run("job", "logs", "y", "x")
    assert (done.exit_code, done.stdout) == (3, "[x] begun\n")
    assert "[y] JOB_UNKNOWN" in done.stderr


async def test_a_program_tells_a_slow_job_from_a_mesh_that_is_away(away: None, environment: Environment) -> None:
    """A program that waits again as long as it is told STILL_RUNNING would never end."""
    async with Client(contexts.current(environment, "").mesh()) as mesh:
        for waiting in (JobHandle(mesh, RUNNING).wait(0.2), wait_all([JobHandle(mesh, RUNNING)], 0.2)):
            with pytest.raises(Unavailable) as told:
                await waiting
            assert (told.value.reason, told.value.facts["name"]) == ("MESH_UNREACHABLE", "jobs/x")
            assert "goes on" in told.value.message


async def test_a_job_that_ended_unheard_is_not_said_to_run(oracle: Any, environment: Environment) -> None:
    """`wait(0)` asks whether it has ended; so does whoever's stream was lost just before his time was over."""
    oracle.stream = falls_silent_after(RUNNING)
    oracle.answers["GetJob"] = Job(name="jobs/x", state=Job.STATE_DONE)
    async with Client(contexts.current(environment, "").mesh()) as mesh:
        assert (await JobHandle(mesh, RUNNING).wait(0)).succeeded
