"""`suan` in front of a node that is newer than it is, or says what nobody should."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from suanmesh.network_orchestrator.v1.network_orchestrator_service_pb2 import FindPathsResponse
from tests.service.sdk.busy_answers import answers
from tests.service.sdk.test_cli_screens import COMMANDS

SUAN = str(Path(sys.executable).parent / "suan")
NEWER = 99
"""A value that no enumeration has yet."""


def newer(message: Message) -> Message:
    """The same with a value from later in each field that is an enumeration's, as deep as it goes."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE and not field.message_type.GetOptions().map_entry:
            for each in value if field.is_repeated else [value]:
                newer(each)
    for field in message.DESCRIPTOR.fields:
        if field.type == field.TYPE_ENUM and not field.containing_oneof:
            if field.is_repeated:
                getattr(message, field.name).append(NEWER)
            else:
                setattr(message, field.name, NEWER)
    return message


@pytest.mark.parametrize("form", ["wide", "csv", "json"])
async def test_what_only_a_newer_node_knows_is_shown_as_a_number(
    oracle: Any, run: Callable[..., Any], form: str
) -> None:
    """The node is renewed first; one job in a state of its own ended the list of all jobs with a traceback."""
    oracle.answers |= {method: newer(deepcopy(told)) for method, told in answers().items()}
    for command in COMMANDS:
        done = await run(*command.split(), "-o", form)
        assert isinstance(done.exception, SystemExit | None), (command, done.exception)
        assert done.exit_code in (0, 1, 6) or command == "job show", (command, done.stderr)
    assert str(NEWER) in (await run("job", "list", "--columns", "state")).stdout


@pytest.mark.parametrize(("environment_", "shown"), [({}, False), ({"SUANMESH_TRACEBACK": "1"}, True)])
async def test_a_defect_of_its_own_is_one_line(
    oracle: Any, environment: dict[str, str], environment_: dict[str, str], shown: bool
) -> None:
    """A page of Python says nothing to whoever wanted to find a path, and much to whoever mends it."""
    oracle.answers["FindPaths"] = FindPathsResponse()
    done = await asyncio.to_thread(
        subprocess.run, [SUAN, "path", "find", "a", "b"], env=environment | environment_, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert ("Traceback" in done.stderr) == shown
    assert ("error: DEFECT: " in done.stderr) == (not shown)
    assert ("SUANMESH_TRACEBACK=1" in done.stderr) == (not shown)
