"""However `suan dev` ends, the machine is as it was: no process of it runs, no port of it is taken."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from suanmesh_local.identities import AREAS

pytestmark = pytest.mark.mesh

SUAN = Path(sys.executable).parent / "suan"
STOP_S_MAX = 30.0
SLEEPER = """
account: accounts/demo
ask: {cpu_milli: 100, memory_bytes: 64MiB}
package:
  variants:
    - {engine: python3, command: [python3, -c, "import time; print('up', flush=True); time.sleep(600)"]}
max_duration_s: 900
"""


class Dev:
    """One run of `suan dev` with one site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "dev"
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [str(SUAN), "dev", "--sites", "1", "--data-dir", str(self.folder)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def read_until(self, start: str) -> str:
        """The first line that begins so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith(start):
                return line
        raise AssertionError("".join(self.lines))

    def suan(self, *arguments: str) -> str:
        """What a user's command prints."""
        environment = {"SUANMESH_CONFIG": str(self.folder / "config.toml"), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        command = [str(SUAN), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start_sleeper(self) -> None:
        """Submit a job that would run for long; it runs when this returns."""
        file = self.folder / "sleeper.yaml"
        file.write_text(SLEEPER)
        self.suan("job", "submit", str(file), "--id", "sleeper")
        while "RUNNING" not in self.suan("job", "show", "sleeper"):
            assert self.process.poll() is None

    def end(self) -> int:
        """Wait for the end; its exit status."""
        assert self.process.stdout is not None
        self.lines += list(self.process.stdout)
        return self.process.wait(STOP_S_MAX)

    def pid_of(self, name: str) -> int:
        """Process id from the status line."""
        line = next(line for line in self.lines if line.startswith(f"{name} "))
        found = re.search(r"pid (\d+)", line)
        assert found is not None, line
        return int(found[1])


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    """`suan dev`, just started."""
    dev = Dev(tmp_path)
    yield dev
    if dev.process.poll() is None:
        dev.process.send_signal(signal.SIGINT)
        dev.end()
    assert dev.process.stdout is not None
    dev.process.stdout.close()
    for process in _left(tmp_path):
        process.kill()


def test_ctrl_c_ends_what_runs_at_the_sites_too(dev: Dev, tmp_path: Path) -> None:
    """A forgotten task would hold memory and processor for as long as the machine is up."""
    dev.read_until("ready:")
    dev.start_sleeper()
    assert any("shim" in " ".join(process.cmdline()) for process in _left(tmp_path))
    dev.process.send_signal(signal.SIGINT)

    assert dev.end() == 0
    _nothing_left(dev, tmp_path)
    for name in ("etcd", *AREAS, "site shanghai"):
        assert len([line for line in dev.lines if line.startswith(f"{name} ") and "pid" in line]) == 1, dev.lines


def test_ctrl_c_during_the_start_is_heeded(dev: Dev, tmp_path: Path) -> None:
    """Who changes their mind must not have to wait for a mesh to come up."""
    dev.read_until("etcd ")
    dev.process.send_signal(signal.SIGINT)

    assert dev.end() == 0
    _nothing_left(dev, tmp_path)


def test_a_process_that_dies_ends_the_node_and_is_named(dev: Dev, tmp_path: Path) -> None:
    """Nothing is restarted behind one's back, and half a node is not left running."""
    dev.read_until("ready:")
    psutil.Process(dev.pid_of("transport")).kill()

    assert dev.end() == 1
    assert any(line.startswith("transport ended with -9") for line in dev.lines), dev.lines
    _nothing_left(dev, tmp_path)


def _nothing_left(dev: Dev, folder: Path) -> None:
    assert [" ".join(process.cmdline()) for process in _left(folder)] == []
    for name, port in json.loads((dev.folder / "ports.json").read_text()).items():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, name


def _left(folder: Path) -> list[psutil.Process]:
    """Every process that has anything to do with `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            traces = [*process.cmdline(), *process.environ().values(), process.cwd()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if process.status() != psutil.STATUS_ZOMBIE and any(str(folder) in trace for trace in traces):
            found.append(process)
    return found
