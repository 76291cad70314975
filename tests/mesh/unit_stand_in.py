"""What starts and stops a node's processes in systemd's place: by the very lines of its units."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from suanmesh_local.unit_control import UnitFault

STOP_S_MAX = 60.0


class UnitsStandIn:
    """Units in a folder, each a process once it was started; their files are read as systemd does, when told to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, dict[str, str]] = {}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.done: list[str] = []
        """What it was told to do, in order."""
        self.broken: set[str] = set()
        """Those that cannot be started any more."""
        self._read()

    async def active(self, units: Sequence[str]) -> list[str]:
        """Those whose process runs."""
        return [unit for unit in units if unit in self.running and self.running[unit].poll() is None]

    async def reload(self) -> None:
        """Know the files as they are now."""
        self.done.append("reload")
        self._read()

    async def restart(self, unit: str) -> None:
        """Stop it as systemd does, and start it."""
        self.done.append(unit)
        if unit in self.broken:
            raise UnitFault(f"Job for {unit} failed.")
        await asyncio.to_thread(self._end, unit)
        self.start(unit)

    async def stop(self, unit: str) -> None:
        """Stop it as systemd does."""
        self.done.append(f"stop {unit}")
        await asyncio.to_thread(self._end, unit)

    def start(self, unit: str) -> None:
        """Start the process of a unit, with its settings and nothing else."""
        if unit not in self._known:
            raise UnitFault(f"Unit {unit} not found.")
        said = self._known[unit]
        settings = dict(word.split("=", 1) for word in shlex.split(Path(said["EnvironmentFile"]).read_text()))
        self.running[unit] = subprocess.Popen(
            shlex.split(said["ExecStart"]), env=settings | {"PATH": os.environ["PATH"]}
        )

    def _end(self, unit: str) -> None:
        """Ask the process to end, and wait for it."""
        process = self.running.pop(unit, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """Leave nothing behind."""
        for unit in reversed(list(self.running)):
            self._end(unit)

    def _read(self) -> None:
        for file in self._folder.glob("*.service"):
            lines = file.read_text().splitlines()
            self._known[file.name] = dict(line.split("=", 1) for line in lines if "=" in line)
