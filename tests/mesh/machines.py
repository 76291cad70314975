"""Machines of a test's own: network namespaces on one switch, each with an address, a home and processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from secrets import token_hex
from threading import Thread

BIN = Path(sys.executable).parent
COMMAND_S_MAX = 240.0
STOP_S_MAX = 60.0


class NoNamespaces(Exception):
    """They cannot be made here; says why."""


@dataclass(slots=True)
class Machine:
    """What a person at one machine has: a shell in a folder, and programs that they left running."""

    name: str
    namespace: str
    home: Path
    port: tuple[str, str] = ("", "")
    """Where its cable is: namespace of the switch, and name there."""
    programs: Path = BIN
    """Folder with the `suan` that is installed there."""
    running: list[tuple[subprocess.Popen[str], Thread]] = field(default_factory=list)

    def type(self, block: str) -> str:
        """What a block of commands prints, typed into a shell that ends at the first that fails."""
        done = subprocess.run(
            [*self.inside, "/bin/bash", "-e", "-c", block],
            cwd=self.home, env=self._environment, capture_output=True, text=True, timeout=COMMAND_S_MAX, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{self.name}: {done.returncode}\n{block}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def leave_running(self, command: str) -> Iterator[str]:
        """Start a command that stays in the foreground of a terminal of its own; what it prints, until it ends."""
        process = subprocess.Popen(
            [*self.inside, "/bin/bash", "-c", f"exec {command}"],
            cwd=self.home, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        printed: SimpleQueue[str | None] = SimpleQueue()
        reader = Thread(target=_read, args=(process, printed))
        reader.start()
        self.running.append((process, reader))
        return iter(printed.get, None)

    def pull_cable(self) -> list[str]:
        """The command that drops whatever comes from it or goes to it; neither side sees more than silence."""
        switch, port = self.port
        return ["ip", "-n", switch, "link", "set", port, "nomaster"]

    def plug_cable(self) -> list[str]:
        """The command after which all is carried again."""
        switch, port = self.port
        return ["ip", "-n", switch, "link", "set", port, "master", "sw"]

    def interrupt(self) -> None:
        """Press Ctrl-C in every terminal."""
        for process, _ in self.running:
            process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """Wait until every program has ended that was interrupted."""
        for process, reader in reversed(self.running):
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            reader.join()
        self.running.clear()

    @property
    def inside(self) -> list[str]:
        """What a command begins with that is to run there."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}"]

    @property
    def _environment(self) -> Mapping[str, str]:
        kept = {name: os.environ[name] for name in ("XDG_CACHE_HOME", "SUANMESH_ETCD") if name in os.environ}
        cache = {"XDG_CACHE_HOME": kept.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")}
        path = f"{self.programs}{os.pathsep}{os.defpath}"
        return kept | cache | {"HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8", "COLUMNS": "200"}


@contextmanager
def machines(folder: Path, addresses: Mapping[str, str]) -> Iterator[dict[str, Machine]]:
    """A machine for each name, at its address; nothing of them is left. Raises NoNamespaces."""
    _require_tools()
    with ExitStack() as ending:
        made = {}
        for name, (namespace, port) in _switched(ending, addresses).items():
            home = folder / name
            home.mkdir()
            made[name] = Machine(name, namespace, home, port)
            ending.callback(made[name].stop)
        ending.callback(lambda: [machine.interrupt() for machine in made.values()])
        yield made


def _switched(ending: ExitStack, addresses: Mapping[str, str]) -> dict[str, tuple[str, tuple[str, str]]]:
    """A namespace for each name, on one switch, and the switch's with the port there. Raises NoNamespaces."""
    switch = f"sm{os.getpid()}-{token_hex(3)}"
    made = {}
    try:
        _namespace(ending, switch)
        _ip("-n", switch, "link", "add", "sw", "type", "bridge")
        _ip("-n", switch, "link", "set", "sw", "up")
        for number, (name, address) in enumerate(addresses.items()):
            namespace = f"{switch}-{number}"
            made[name] = namespace, (switch, f"p{number}")
            _namespace(ending, namespace)
            _ip("-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", f"p{number}", "netns", switch)
            _ip("-n", switch, "link", "set", f"p{number}", "master", "sw", "up")
            _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", namespace, "link", "set", "eth0", "up")
    except subprocess.CalledProcessError as fault:
        raise NoNamespaces(f"{' '.join(fault.cmd)}: {fault.stderr.strip()}") from fault
    return made


def _read(process: subprocess.Popen[str], printed: SimpleQueue[str | None]) -> None:
    """All that a process prints, so that it never waits for a reader; None at its end."""
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            printed.put(line)
    printed.put(None)


def _require_tools() -> None:
    if os.geteuid() != 0:
        raise NoNamespaces("network namespaces are made by root")
    if missing := [tool for tool in ("ip", "nsenter") if shutil.which(tool) is None]:
        raise NoNamespaces(f"not installed: {', '.join(missing)}")


def _namespace(ending: ExitStack, name: str) -> None:
    _ip("netns", "add", name)
    ending.callback(_ip, "netns", "del", name)
    _ip("-n", name, "link", "set", "lo", "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
