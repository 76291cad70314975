"""What every executor promises of a command that cannot be started."""

from __future__ import annotations

import pytest
from executor_kinds import ProcessExecutor, a_task

from suanmesh_agent.domain.tasks import Artefact, TaskState


@pytest.mark.parametrize(
    ("command", "status", "failure"),
    [
        (("no-such-program",), 127, "COMMAND_NOT_FOUND"),
        (("./no/such/program",), 127, "COMMAND_NOT_FOUND"),
        (("./plain",), 126, "COMMAND_NOT_EXECUTABLE"),
        (("/usr",), 126, "COMMAND_NOT_EXECUTABLE"),
        (("./of-windows",), 126, "COMMAND_NOT_EXECUTABLE"),
        (("./of-elsewhere",), 126, "COMMAND_NOT_EXECUTABLE"),
        (("./plain/x",), 127, "COMMAND_NOT_FOUND"),
        (("./script",), 0, ""),
        (("./bare",), 0, ""),
        (("sh", "-c", "exit 127"), 127, ""),
        (("sh", "-c", "exit 126"), 126, ""),
    ],
)
@pytest.mark.parametrize("variables", [(), (("SEED", "1"),)])
async def test_a_command_that_cannot_be_started_is_told_from_one_that_failed(
    executor: ProcessExecutor,
    command: tuple[str, ...],
    status: int,
    failure: str,
    variables: tuple[tuple[str, str], ...],
) -> None:
    """A user would else look in the program for what is wrong with its name or its execute bit."""
    artefacts = (
        Artefact("plain", b"#!/bin/sh\n"),
        Artefact("script", b"#!/bin/sh\necho ran as $0\n", executable=True),
        Artefact("of-windows", b"#!/bin/sh\r\necho ran\r\n", executable=True),
        Artefact("of-elsewhere", b"#!/opt/elsewhere/bin/python\n", executable=True),
        Artefact("bare", b"echo ran as $0\n", executable=True),
    )
    task = a_task("", command=command, artefacts=artefacts, variables=variables)
    await executor.start(task)
    look = await executor.over(task.key)
    assert (look.state, look.exit_status, look.failure) == (TaskState.ENDED, status, failure)
    said = executor.read_log(task.key, 0, 1000)[1].decode()
    assert not failure or command[0] in said
    assert "/of-" not in command[0] or "first line" in said
    assert status or said == f"ran as {command[0]}\n"


async def test_a_log_tells_when_its_lines_were_written(executor: ProcessExecutor) -> None:
    """Where an hour was spent is seen by the times of the lines around it."""
    task = a_task("import time; print('one'); time.sleep(2.2); print('two')")
    await executor.start(task)
    await executor.over(task.key)
    kept = executor.open_log(task.key)
    assert kept is not None
    (first, begun), (second, later) = kept.times()
    assert (first, second) == (0, 4)
    assert 1000 <= later - begun <= 20_000
