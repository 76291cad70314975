"""One process of the node: started with an environment, watched, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from suanmesh_kernel.private import FILE_MODE, UMASK, private_folder
from suanmesh_local.die_with_parent import die_with_parent

STOP_S_MAX = 10.0
TAIL_BYTES_MAX = 16 * 1024
REASON_LENGTH_MAX = 300


class Process:
    """A child process in its own session, its output in a log file; it does not outlive this process."""

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
        """Start it; it is not ready yet. Raises OSError."""
        private_folder(self.log.parent)
        self.log.touch(mode=FILE_MODE)
        keep = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                die_with_parent(self.command),
                env=keep | self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                umask=UMASK,
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

    def end(self, within_s: float = STOP_S_MAX) -> None:
        """Ask it to end, make it after a while, and wait for it."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self._child is None:
            return
        try:
            self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()

    async def stop(self) -> None:
        """`end` without keeping others waiting."""
        await asyncio.to_thread(self.end)

    def last_words(self) -> str:
        """What it said last, on one line, and where the rest is."""
        said = [line for line in self._tail() if line.strip()]
        reason = _reason(said[-1])[:REASON_LENGTH_MAX] if said else "it said nothing"
        return f"{reason}; see {self.log}"

    def _tail(self) -> list[str]:
        if not self.log.exists():
            return []
        with self.log.open("rb") as opened:
            opened.seek(max(0, self.log.stat().st_size - TAIL_BYTES_MAX))
            return opened.read().decode(errors="replace").splitlines()


def _reason(line: str) -> str:
    """The reason in a line of a log: what our processes and etcd write in JSON, or the line itself."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line.strip()
    if not isinstance(entry, dict):
        return line.strip()
    event = str(entry.get("event") or entry.get("msg") or "")
    why = str(entry.get("exception") or entry.get("error") or "").strip().splitlines()
    return f"{event}: {why[-1]}" if why else event
