"""One process of the node: started with an environment, watched, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_S_MAX = 10.0


class Process:
    """A child process in its own session, its output in a log file."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log = log
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 when it does not run."""
        return self._child.pid if self._child and self._child.poll() is None else 0

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs or before it was started."""
        return self._child.poll() if self._child else None

    def start(self) -> None:
        """Start it; it is not ready yet."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        keep = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self.command,
                env=keep | self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.pid:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with kill -9 and wait for it."""
        self.signal(signal.SIGKILL)
        if self._child:
            self._child.wait()

    async def stop(self) -> None:
        """Ask it to end, and make it after a while."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self._child is None:
            return
        try:
            await asyncio.to_thread(self._child.wait, STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines: int = 15) -> str:
        """The last lines it wrote."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
