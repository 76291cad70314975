"""A Ray cluster of its own for trying out a site that has one: on loopback, all in one folder, gone afterwards."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from suanmesh_kernel.private import private_folder, write_private
from suanmesh_local.ports import free_ports
from suanmesh_local.processes import Process
from suanmesh_local.tools import ToolMissing

READY_S_MAX = 120.0
MEMORY_BYTES = 8 << 30
"""What a node tells that it has: Ray counts it, and does not look whether it is there."""
_OBJECTS_BYTES = 80 << 20
_PAUSE_S = 0.1
_NODE_PATH_MAX = 40
_HEAD = "127.0.0.2"
"""An address of loopback that Ray does not take for another name of the host."""
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_memory_monitor_refresh_ms": "0",  # which ends tasks where the host's memory is short, whoever has it
}


@contextmanager
def running(cpus: int = 4, environment: Mapping[str, str] | None = None) -> Iterator[LocalRay]:
    """A cluster that is gone afterwards, and what it has run. Raises ToolMissing, OSError, TimeoutError."""
    if find_spec("ray") is None:
        raise ToolMissing("ray is missing: pip install 'suanmesh[ray]'")
    with TemporaryDirectory(prefix="suan-ray-") as folder:
        cluster = LocalRay(Path(folder), cpus, environment)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


class LocalRay:
    """One cluster of one node, its head, with so many processors, whatever the machine has."""

    def __init__(
        self,
        folder: Path,
        cpus: int,
        environment: Mapping[str, str] | None = None,
        *,
        host: str = _HEAD,
        inside: Sequence[str] = (),
    ) -> None:
        """`folder` has a short path: sockets lie deep in it. The `environment` is of all its processes.

        The head is at `host`; what starts a node is started by `inside`, such as `nsenter` with a network of its own.
        """
        if len(str(folder)) > _NODE_PATH_MAX:
            raise ValueError(f"{folder}: too long a path for sockets")
        self.folder = folder
        self.token_file = folder / "token"
        self._environment = dict(environment or {})
        self._started: set[psutil.Process] = set()
        (port,) = free_ports(1)
        self._inside = list(inside)
        self.address = f"{host}:{port}"
        self.head = self._head(host, port, cpus)

    def _head(self, host: str, port: int, cpus: int) -> Process:
        environment = _QUIET | self._environment
        environment |= {"RAY_AUTH_TOKEN_PATH": str(self.token_file), "RAY_TMPDIR": str(self.folder)}
        command = [
            *self._inside, str(Path(sys.executable).parent / "ray"),
            "start", "--head", f"--port={port}", "--block", "--disable-usage-stats", f"--num-cpus={cpus}",
            f"--memory={MEMORY_BYTES}", f"--object-store-memory={_OBJECTS_BYTES}", f"--node-ip-address={host}",
            "--node-name=head", "--min-worker-port=0", "--max-worker-port=0", "--include-dashboard=false",
            f"--temp-dir={self.folder}",
        ]  # fmt: skip
        return Process("head", command, environment, self.folder / "log" / "head.log")

    def start(self) -> None:
        """Start the head where it does not run, and wait until it can be asked. Raises OSError, TimeoutError."""
        private_folder(self.folder)
        if not self.token_file.exists():
            write_private(self.token_file, secrets.token_hex(32).encode())
        self._start(self.head)

    def stop(self) -> None:
        """End all of it, also what outlives a part that was killed."""
        self.head.kill()
        for process in [*self._started, *psutil.process_iter()]:
            if process in self._started or self._is_ours(process):
                kill(process)
        self._started.clear()

    def _is_ours(self, process: psutil.Process) -> bool:
        """Some hide it under a name that they give themselves: those are there from the start."""
        try:
            return process.environ().get("RAY_TMPDIR") == str(self.folder)
        except psutil.Error:
            return False

    def processes(self, node: Process) -> list[psutil.Process]:
        """Of a node: all that it has started; what its workers run is among them."""
        if not node.pid:
            return []
        return psutil.Process(node.pid).children(recursive=True)

    def kill(self, node: Process, program: str) -> None:
        """End those whose name begins so, such as `gcs_server`, `raylet`, or `ray::NAME` of a task, with kill -9."""
        for process in self.processes(node):
            with suppress(psutil.NoSuchProcess):  # Ray ends workers that have nothing to do
                if process.name().startswith(program):
                    process.kill()

    def _start(self, node: Process) -> None:
        if node.pid:
            return
        before = node.log.stat().st_size if node.log.exists() else 0
        node.start()
        until = time.monotonic() + READY_S_MAX
        while b"runtime started" not in node.log.read_bytes()[before:]:
            if not node.pid:
                raise OSError(f"ray ended with {node.status}: {node.log.read_text()[-500:]}")
            if time.monotonic() > until:
                raise TimeoutError(f"{node.name}: {node.log.read_text()[-500:]}")
            time.sleep(_PAUSE_S)
        self._started.update(self.processes(node))


def kill(process: psutil.Process) -> None:
    """End it with kill -9, if it is still the same."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
