"""`suan` as a process whose standard streams take no more, or are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUAN = str(Path(sys.executable).parent / "suan")
READER_GONE = 141
CONTEXT = {"SUANMESH_GATEWAY": "h:1", "SUANMESH_NODE": "n", "SUANMESH_CA": "ca.pem", "SUANMESH_CONFIG": "/dev/null"}
COMMANDS = [["--help"], ["completion", "bash"], ["ctx"], ["ctx", "-o", "json"], ["job", "submit", "--help"]]


def printed_to(output: int, command: list[str]) -> tuple[int, str]:
    """Exit status and what is said on standard error."""
    environment = {**CONTEXT, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [SUAN, *command], stdout=output, stderr=subprocess.PIPE, env=environment, text=True, timeout=60, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reader_that_has_seen_enough_ends_it_quietly(command: list[str]) -> None:
    """`suan job list | head -1` in a script would be reported as a failure, with a traceback in its mail."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert printed_to(writer, command) == (READER_GONE, "")
    finally:
        os.close(writer)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_disk_is_told_on_one_line(command: list[str]) -> None:
    """A report that was cut short must not pass for a whole one."""
    with Path("/dev/full").open("w") as full:
        assert printed_to(full.fileno(), command) == (1, "error: No space left on device\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("command", "status"), [("ctx", 0), ("job submit -", 2), ("job sumbit", 2)])
def test_streams_that_were_closed_change_no_status(closed: str, command: str, status: int) -> None:
    """A job that a daemon or cron submits has none of them; a traceback in their place says nothing to anybody."""
    environment = {**CONTEXT, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    line = ["/bin/sh", "-c", f"exec {SUAN} {command} {closed}"]
    done = subprocess.run(
        line, stdin=subprocess.DEVNULL, capture_output=True, env=environment, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert bool(done.stdout) == (status == 0 and ">&-" not in closed.replace("2>&-", ""))
