"""`suan job logs -f` while what it reads from comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import ReadJobLogsRequest, ReadJobLogsResponse
from suanmesh_cli.main import suan
from suanmesh_kernel.refusals import DeadlineExceeded, FailedPrecondition, Refusal, Unavailable
from suanmesh_sdk import retries

Run = Callable[..., Awaitable[Result]]
UNREACHABLE = FailedPrecondition("SITE_UNREACHABLE", "sites/a cannot be reached")
PIECES = ("one\n", "two\nhalf", " a line\n", "end\n")


@pytest.fixture
async def oracle(serve: Any) -> Any:
    oracle = await serve()
    oracle.answers["GetJob"] = Job(name="jobs/x", state=Job.STATE_RUNNING)
    return oracle


@pytest.fixture
def run(oracle: Any, tls: Any) -> Run:
    environment = {"SUANMESH_GATEWAY": oracle.address, "SUANMESH_NODE": "demo", "SUANMESH_CONFIG": "/dev/null"}
    environment |= {"SUANMESH_CA": str(tls.ca), "SUANMESH_CERT": str(tls.cert), "SUANMESH_KEY": str(tls.key)}

    async def invoke(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, suan, list(arguments), obj=environment)

    return invoke


def broken_by(refusal: Refusal) -> Callable[[bytes], list[Any]]:
    """A log of which each stream gives one piece, and breaks."""

    def told(body: bytes) -> list[Any]:
        at = int(ReadJobLogsRequest.FromString(body).resume_token or 0)
        piece = ReadJobLogsResponse(content=PIECES[at].encode(), resume_token=str(at + 1))
        return [piece] if at + 1 == len(PIECES) else [piece, refusal]

    return told


@pytest.mark.parametrize("resume_s", [5.0, 0.0], ids=["at once", "after a while"])
async def test_a_restart_is_no_end_of_a_log(
    oracle: Any, run: Run, monkeypatch: pytest.MonkeyPatch, resume_s: float
) -> None:
    """Somebody watches a training over night: with the first restart of a gateway he would see nothing any more."""
    monkeypatch.setattr(retries, "RESUME_S", resume_s)
    oracle.answers["ReadJobLogs"] = broken_by(Unavailable("NOT_READY", "restarts"))
    done = await run("job", "logs", "x", "-f")
    assert (done.exit_code, done.stdout) == (0, "".join(PIECES))
    told = done.stderr.splitlines()
    assert told.count("NOT_READY: no answer; asking on") == told.count("it answers again") == len(told) / 2


async def test_a_site_that_is_away_for_a_while_is_waited_for(oracle: Any, run: Run) -> None:
    """An agent that is brought up to date takes longer than a restart."""
    oracle.answers["ReadJobLogs"] = broken_by(UNREACHABLE)
    done = await run("job", "logs", "x", "-f")
    assert (done.exit_code, done.stdout) == (0, "".join(PIECES))
    assert done.stderr.startswith("SITE_UNREACHABLE: no answer; asking on\nit answers again\n")
    oracle.answers["GetJob"] = Job(name="jobs/x", state=Job.STATE_FAILED)
    done = await run("job", "logs", "x", "-f")
    assert (done.exit_code, done.stdout) == (5, PIECES[0]), "of a job that has ended nothing more comes"


@pytest.mark.parametrize("ended", [False, True], ids=["while it runs", "when it has ended"])
async def test_a_job_that_is_placed_anew_is_followed_there(oracle: Any, run: Run, ended: bool) -> None:
    """Who watches a training whose site is lost would wait for that site for ever, while it runs at another."""
    job = Job(name="jobs/x", state=Job.STATE_RUNNING, placement="placements/p1", attempt=1)
    anew = Job(name="jobs/x", placement="placements/p2", attempt=2)
    anew.state = Job.STATE_DONE if ended else Job.STATE_RUNNING
    waiting = Job(name="jobs/x", state=Job.STATE_PENDING, attempt=1)
    oracle.answers |= {"GetJob": job, "WatchJob": lambda _: [waiting, anew]}

    def told(body: bytes) -> list[Any]:
        if ReadJobLogsRequest.FromString(body).resume_token:
            oracle.answers["GetJob"] = anew
            return [UNREACHABLE]
        if oracle.answers["GetJob"] is job:
            return [ReadJobLogsResponse(content=b"first\n", resume_token="p1.6"), UNREACHABLE]
        return [ReadJobLogsResponse(content=b"second\n", resume_token="p2.7")]

    oracle.answers["ReadJobLogs"] = told
    done = await run("job", "logs", "x", "-f")
    assert (done.exit_code, done.stdout) == (0, "first\nsecond\n")
    assert "jobs/x was placed anew: attempt 2 from its beginning" in done.stderr.splitlines()


async def test_a_site_that_is_away_from_the_beginning_is_waited_for(oracle: Any, run: Run) -> None:
    """Who begins to follow in the minute in which an agent restarts would be sent away; a bound on his time holds."""
    meets = iter([UNREACHABLE, UNREACHABLE])
    oracle.answers["ReadJobLogs"] = lambda _: [next(meets, ReadJobLogsResponse(content=b"begun\n"))]
    done = await run("job", "logs", "x", "-f")
    assert (done.exit_code, done.stdout) == (0, "begun\n")
    assert done.stderr == "SITE_UNREACHABLE: no answer; asking on\nit answers again\n"
    oracle.answers["ReadJobLogs"] = [UNREACHABLE]
    bounded = await run("job", "logs", "x", "-f", "--timeout", "60")
    assert (bounded.exit_code, bounded.stdout) == (5, "")


async def test_logs_of_several_tasks_go_on_together(oracle: Any, run: Run) -> None:
    """A line that is cut by a restart is still one line behind its mark."""
    oracle.answers["GetJob"].task.count = 2
    oracle.answers["ReadJobLogs"] = broken_by(Unavailable("NOT_READY", "restarts"))
    done = await run("job", "logs", "x", "--all-tasks", "-f")
    lines = "".join(PIECES).splitlines()
    assert done.exit_code == 0
    assert sorted(done.stdout.splitlines()) == sorted(f"[{task}] {line}" for task in (0, 1) for line in lines)


async def test_a_log_that_is_silent_for_long_is_followed_too(
    oracle: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task may compute for hours before its first line; a stream lasts an hour, and a gateway less."""
    meets = iter([Unavailable("NOT_READY", "restarts"), DeadlineExceeded("DEADLINE_EXCEEDED", "an hour is over")])
    written = ReadJobLogsResponse(content=b"done\n")
    monkeypatch.setattr(retries, "ATTEMPTS_MAX", 1)
    oracle.answers["ReadJobLogs"] = lambda _: [next(meets, written)]
    done = await run("job", "logs", "x", "-f")
    assert (done.exit_code, done.stdout) == (0, "done\n")
    assert done.stderr == "NOT_READY: no answer; asking on\nit answers again\n"
