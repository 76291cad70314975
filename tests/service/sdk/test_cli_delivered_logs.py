"""`suan job logs` where the site has dropped the log, which was delivered as a dataset."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.transport.v1.transport_service_pb2 import ReadFileRequest, ReadFileResponse
from suanmesh_cli.main import suan
from suanmesh_kernel.refusals import FailedPrecondition, NotFound

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
async def oracle(serve: Any) -> Any:
    """Each file of each dataset says where it lies."""

    def file(body: bytes) -> list[ReadFileResponse]:
        asked = ReadFileRequest.FromString(body)
        return [ReadFileResponse(content=asked.dataset.encode() + b" "), ReadFileResponse(content=asked.path)]

    oracle = await serve()
    oracle.answers["ReadFile"] = file
    oracle.answers["GetJob"] = Job(name="jobs/x", state=Job.STATE_FAILED, log_dataset="datasets/x-log--2")
    return oracle


@pytest.fixture
def run(oracle: Any, tls: Any) -> Run:
    environment = {"SUANMESH_GATEWAY": oracle.address, "SUANMESH_NODE": "demo", "SUANMESH_CONFIG": "/dev/null"}
    environment |= {"SUANMESH_CA": str(tls.ca), "SUANMESH_CERT": str(tls.cert), "SUANMESH_KEY": str(tls.key)}

    async def invoke(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, suan, list(arguments), obj=environment)

    return invoke


def dropped(**named: str) -> NotFound:
    """What a site says that has run two hundred others since."""
    return NotFound("LOG_UNKNOWN", "no log of task 0 here", **named)


async def test_the_log_of_a_job_that_failed_is_read_where_it_was_delivered(oracle: Any, run: Run) -> None:
    """A job failed at night; by the morning its site had dropped the log, and nobody could tell why it failed."""
    oracle.answers["ReadJobLogs"] = [FailedPrecondition("LOG_NOT_READY", "an older scheduler names no dataset")]
    assert (await run("job", "logs", "x", "3")).stdout == "datasets/x-log--2 task-3.log"
    oracle.answers["ReadJobLogs"] = [dropped(dataset="datasets/x-log--2", file="task-0.log")]
    assert (await run("job", "logs", "x")).stdout == "datasets/x-log--2 task-0.log"
    assert (await run("job", "logs", "x", "-f")).stdout == "datasets/x-log--2 task-0.log"
    assert "datasets/x-log--2" in (await run("job", "show", "x")).stdout


async def test_earlier_runs_are_read_there_too(oracle: Any, run: Run) -> None:
    """What the first attempt died of is asked for when the second has died of it too."""
    oracle.answers["ReadJobLogs"] = [dropped(dataset="datasets/x-log", file="task-0.1.log")]
    assert (await run("job", "logs", "x", "--attempt", "1", "--previous")).stdout == "datasets/x-log task-0.1.log"
    oracle.answers["ReadJobLogs"] = [dropped()]
    assert (await run("job", "logs", "x", "--attempt", "1")).exit_code == 3, "the job names that of its newest run"


async def test_a_log_that_was_removed_is_said_to_be_gone(oracle: Any, run: Run) -> None:
    """Who is told that a file is missing looks for it; the log is gone."""
    oracle.answers["ReadJobLogs"] = [dropped(dataset="datasets/x-log", file="task-0.log")]
    oracle.answers["ReadFile"] = [NotFound("DATASET_UNKNOWN", "no dataset datasets/x-log")]
    done = await run("job", "logs", "x")
    assert (done.exit_code, "LOG_UNKNOWN: no log of task 0 here" in done.stderr) == (3, True)
