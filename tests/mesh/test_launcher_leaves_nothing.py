"""However `suan dev` ends, the machine is as it was: no process runs, no port is taken, and it can start again."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from suanmesh_agent.engines.process.shim_server import PROCESS_NAME
from suanmesh_local.format import FORMAT, LOCK
from suanmesh_local.identities import AREAS

pytestmark = pytest.mark.mesh

SUAN = Path(sys.executable).parent / "suan"
STOP_S_MAX = 60.0
SLEEPER = """
account: accounts/demo
ask: {cpu_milli: 100, memory_bytes: 64MiB}
package:
  variants:
    - {runtime: python3, command: [python3, -c, "import time; print('up', flush=True); time.sleep(600)"]}
max_duration_s: 900
"""


class Dev:
    """One run of `suan dev` with one site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "dev"
        self.start()

    def start(self) -> None:
        """Run it, once more after it has ended."""
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [str(SUAN), "dev", "--sites", "1", "--data-dir", str(self.folder)],
            cwd=self.folder.parent,
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

    def start_sleeper(self, job_id: str = "sleeper") -> None:
        """Submit a job that would run for long; it runs when this returns."""
        file = self.folder / "sleeper.yaml"
        file.write_text(SLEEPER)
        self.suan("job", "submit", str(file), "--id", job_id)
        while "RUNNING" not in self.suan("job", "show", job_id):
            assert self.process.poll() is None

    def end(self) -> int:
        """Wait for the end; its exit status."""
        assert self.process.stdout is not None
        self.lines += list(self.process.stdout)
        self.process.stdout.close()
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
    for process in _left(tmp_path):
        process.kill()


def test_ctrl_c_during_the_start_is_heeded(dev: Dev, tmp_path: Path) -> None:
    """Who changes their mind must not have to wait for a mesh to come up."""
    dev.read_until("etcd ")
    dev.process.send_signal(signal.SIGINT)

    assert dev.end() == 0
    _nothing_left(dev, tmp_path)


def test_a_task_does_not_outlive_a_node_whose_agent_was_killed(dev: Dev, tmp_path: Path) -> None:
    """Nobody is left to stop what runs at the site, and the memory it holds would be gone until a reboot."""
    dev.read_until("ready:")
    dev.start_sleeper()
    psutil.Process(dev.pid_of("site shanghai")).kill()

    assert dev.end() == 1
    psutil.wait_procs(_left(tmp_path), timeout=STOP_S_MAX)
    _nothing_left(dev, tmp_path)


def _own_terminal() -> None:
    """Tests may have been begun by nohup, which a terminal's own programs were not."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_a_closed_terminal_ends_the_node(tmp_path: Path) -> None:
    """Whoever closes the window believes that what ran in it has ended."""
    terminal, inside = os.openpty()
    command = [str(SUAN), "dev", "--sites", "1", "--data-dir", str(tmp_path / "dev")]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdin=inside, stdout=inside, stderr=inside, start_new_session=True,
        preexec_fn=_own_terminal,  # noqa: PLW1509 - how a terminal becomes its own
    )  # fmt: skip
    os.close(inside)
    said = b""
    while b"ready:" not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)

    assert process.wait(STOP_S_MAX) == 0
    assert [" ".join(process.cmdline()) for process in _left(tmp_path)] == []


def test_a_node_whose_launcher_or_service_is_killed_ends_whole_and_can_start_again(dev: Dev, tmp_path: Path) -> None:
    """The next start would meet its own ghosts, on its own ports and in its own files; or half a node would be left
    running, with what died restarted behind one's back."""
    dev.read_until("ready:")
    dev.start_sleeper()
    dev.process.kill()
    dev.end()
    psutil.wait_procs(_left(tmp_path), timeout=STOP_S_MAX)
    _nothing_left(dev, tmp_path)

    dev.start()
    dev.read_until("ready:")
    psutil.Process(dev.pid_of("transport")).kill()

    assert dev.end() == 1
    assert any(line.startswith("transport ended with -9") for line in dev.lines), dev.lines
    _nothing_left(dev, tmp_path)


def test_a_folder_holds_one_node(dev: Dev, tmp_path: Path) -> None:
    """A second one would wait a minute for nothing, and leave the first with ports it does not listen on."""
    dev.read_until("etcd ")
    ports = (dev.folder / "ports.json").read_bytes()
    second = _refused("--data-dir", str(dev.folder))

    said = f"suan dev: {dev.folder} is in use by process {dev.process.pid}\n"
    assert (second.returncode, second.stderr) == (1, said)
    assert (dev.folder / "ports.json").read_bytes() == ports


def test_ctrl_c_ends_all_that_runs_and_the_next_start_finds_other_ports(dev: Dev, tmp_path: Path) -> None:
    """A forgotten task would hold memory and processor for as long as the machine is up; and a node that is started
    again a week later finds some other program on its ports, and its sites must follow."""
    dev.read_until("ready:")
    dev.start_sleeper()
    assert any(process.name() == PROCESS_NAME for process in _left(tmp_path))
    dev.process.send_signal(signal.SIGINT)

    assert dev.end() == 0
    _nothing_left(dev, tmp_path)
    for name in ("etcd", *AREAS, "site shanghai"):
        assert len([line for line in dev.lines if line.startswith(f"{name} ") and "pid" in line]) == 1, dev.lines

    before = json.loads((dev.folder / "ports.json").read_text())
    taken = {"etcd", "etcd-peer", "gateway", "registry", "site-shanghai"}
    with ExitStack() as strangers:
        for name in taken:
            strangers.enter_context(socket.create_server(("127.0.0.1", before[name])))
        dev.start()
        dev.read_until("ready:")
        after = json.loads((dev.folder / "ports.json").read_text())

        assert {name for name in before if before[name] != after[name]} == taken
        assert f"127.0.0.1:{after['site-shanghai']}" in dev.suan("site", "show", "shanghai")
        assert dev.suan("dataset", "get", "digits", "digits.csv")
        dev.start_sleeper("another")


@pytest.mark.parametrize("where", ["file/dev", "/proc/dev"], ids=["below a file", "not writable"])
def test_a_folder_that_cannot_be_is_named(tmp_path: Path, where: str) -> None:
    """A typo must not read as a defect of ours."""
    (tmp_path / "file").touch()
    done = _refused("--data-dir", where, cwd=tmp_path)

    assert done.returncode == 1
    assert re.fullmatch(r"suan dev: \S+: [^\n]+\n", done.stderr), done.stderr


def test_a_folder_of_an_older_version_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    """Services would be denied by etcd, or miss a column, long after anybody thinks of an upgrade."""
    folder = tmp_path / "dev"
    (folder / "tls").mkdir(parents=True)
    done = _refused("--data-dir", str(folder))

    said = f"suan dev: {folder} holds a node of format 1, and this version needs format {FORMAT}: "
    assert (done.returncode, done.stderr) == (1, said + "start in a new folder, or remove this one\n")
    assert sorted(path.name for path in folder.rglob("*")) == [LOCK, "tls"]


def test_an_etcd_that_does_not_come_up_is_named(tmp_path: Path) -> None:
    """Somebody would watch a cursor for a minute, and then read a traceback without a reason."""
    etcd = tmp_path / "etcd"
    etcd.write_text('#!/bin/sh\n[ "$1" = --version ] && echo etcd Version: 3.4.30 || { echo no room >&2; exit 3; }\n')
    etcd.chmod(0o755)
    done = _refused("--data-dir", str(tmp_path / "dev"), env=os.environ | {"SUANMESH_ETCD": str(etcd)})

    log = tmp_path / "dev" / "etcd" / "etcd" / "etcd.log"
    assert (done.returncode, done.stderr) == (1, f"suan dev: etcd ended with 3: no room; see {log}\n")


def _refused(*arguments: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """`suan dev` where it cannot run: it must say so within the time anybody would wait."""
    command = [str(SUAN), "dev", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=STOP_S_MAX, check=False, **how)


def _nothing_left(dev: Dev, folder: Path) -> None:
    assert [" ".join(process.cmdline()) for process in _left(folder)] == []
    until = time.monotonic() + STOP_S_MAX
    for name, port in json.loads((dev.folder / "ports.json").read_text()).items():
        while _listens(port):  # a process that is killed lets go of it once the last of its threads has ended
            assert time.monotonic() < until, name


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _left(folder: Path) -> list[psutil.Process]:
    """Every process that has anything to do with `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            traces = [*process.cmdline(), *process.environ().values(), process.cwd()]
            ended = process.status() == psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):  # psutil lets some of those that end through
            continue
        if not ended and any(str(folder) in trace for trace in traces):
            found.append(process)
    return found
