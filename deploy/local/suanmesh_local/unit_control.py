"""Units of systemd, as far as renewing a node needs them: a port, and systemctl behind it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from typing import Protocol

COMMAND_S_MAX = 120.0


class UnitFault(Exception):
    """systemd did not do it; says on one line why."""


class Units(Protocol):
    """What starts and stops a node's processes by its units."""

    async def active(self, units: Sequence[str]) -> list[str]:
        """Which of the units run. Raises UnitFault."""

    async def reload(self) -> None:
        """Have it read the files of units anew. Raises UnitFault."""

    async def stop(self, unit: str) -> None:
        """Stop a unit, which may take its time; one that does not run is fine. Raises UnitFault."""

    async def restart(self, unit: str) -> None:
        """Stop a unit, which may take its time, and start it; it need not serve yet. Raises UnitFault."""


class Systemctl:
    """The machine's systemd; who is not root goes by sudo."""

    def __init__(self) -> None:
        self._command = ["systemctl"] if os.geteuid() == 0 else ["sudo", "systemctl"]

    async def active(self, units: Sequence[str]) -> list[str]:
        """Which of the units run; none where there is no systemd."""
        if not units or shutil.which("systemctl") is None:
            return []
        _, said, _ = await self._run(["systemctl", "is-active", *units])  # which anybody may ask
        return [unit for unit, state in zip(units, said.split(), strict=False) if state == "active"]

    async def reload(self) -> None:
        """Have it read the files of units anew. Raises UnitFault."""
        await self._done("daemon-reload")

    async def stop(self, unit: str) -> None:
        """Stop a unit. Raises UnitFault."""
        await self._done("stop", unit)

    async def restart(self, unit: str) -> None:
        """Stop a unit and start it. Raises UnitFault."""
        await self._done("restart", unit)

    async def _done(self, *arguments: str) -> None:
        status, said, trouble = await self._run([*self._command, *arguments])
        if status:
            words = (trouble or said).strip().rpartition("\n")[2]
            raise UnitFault(f"{' '.join((*self._command, *arguments))} ended with {status}: {words}")

    async def _run(self, command: Sequence[str]) -> tuple[int, str, str]:
        pipe = asyncio.subprocess.PIPE
        try:
            async with asyncio.timeout(COMMAND_S_MAX):
                child = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
                said, trouble = await child.communicate()
        except (OSError, TimeoutError) as fault:
            why = str(fault) or "it does not come to an end"
            raise UnitFault(f"{' '.join(command)}: {why}") from fault
        return child.returncode or 0, said.decode(errors="replace"), trouble.decode(errors="replace")
