"""The README, followed by hand: `suan dev` in one terminal, every command of the second block in another."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
STOP_S_MAX = 60.0
COMMAND_S_MAX = 90.0
AFTERWARDS = {
    "suan trace show --job digits": "commit placement",
    "suan bill show --job digits": r"^\s*total\s+0\.\d+ CNY",
}
"""What is there a moment after the end of a job, once spans and usage have come."""

pytestmark = pytest.mark.mesh


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`suan dev` once it has said that it is ready."""
    with running(tmp_path) as process:
        yield process


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`suan dev` in `folder` once it has said that it is ready."""
    with subprocess.Popen(
        [str(BIN / "suan"), "dev", "--data-dir", str(folder / "dev")],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            _read_until_ready(process)
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_S_MAX)


def test_what_the_readme_shows_by_hand_works(dev: subprocess.Popen[str], tmp_path: Path) -> None:
    """A newcomer's first quarter of an hour would end in an error message, and their machine would fill with processes
    and taken ports, one node after the other."""
    commands, config = _second_block(), tmp_path / "dev" / "config.toml"
    printed = {command: _run(command, config) for command in commands}

    assert len(commands) >= 9
    assert "accuracy 0.9" in printed["suan job logs digits"]
    assert "jobs/digits DONE" in printed["suan job submit examples/digits/job.yaml --id digits --wait"]
    for command, wanted in AFTERWARDS.items():
        while not re.search(wanted, printed[command], re.MULTILINE):
            printed[command] = _run(command, config)
    gateway = re.search(r'gateway = "127\.0\.0\.1:(\d+)"', config.read_text())
    started = psutil.Process(dev.pid).children(recursive=True)

    dev.send_signal(signal.SIGINT)

    assert dev.wait(STOP_S_MAX) == 0
    assert len(started) >= 10
    assert [p.pid for p in started if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert gateway is not None
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", int(gateway[1])), timeout=1):
        pass


def _read_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("ready:"):
            return
    pytest.fail(f"suan dev ended with {process.wait(STOP_S_MAX)} before it was ready")


def _second_block() -> list[str]:
    """The commands of README.md between `suan dev` and the next heading that ask the mesh."""
    by_hand = (ROOT / "README.md").read_text().partition("## The same by hand")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", by_hand, re.MULTILINE | re.DOTALL)
    return [line for line in blocks[1].splitlines() if line.startswith("suan ")]


def _run(command: str, config: Path) -> str:
    program, *arguments = shlex.split(command)
    environment = {"SUANMESH_CONFIG": str(config), "PATH": os.defpath, "LANG": "C.UTF-8", "COLUMNS": "200"}
    done = subprocess.run(
        [str(BIN / program), *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=COMMAND_S_MAX, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout + done.stderr
