"""The site's permission to run tasks, kept in a file that the tasks' shims read: they outlive this agent, not it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import structlog

from suanmesh_kernel.clock import Clock
from suanmesh_kernel.permission import Permission

log = structlog.get_logger()

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BOOT_BYTES = 36
_NS_DIGITS = 20
LOOK_S = 0.5
"""How late it may be told that the permission has ended; the shims do not wait for that."""


class RunPermission:
    """Until when tasks may run: renewed by what the registry answers, and taken up again by an agent that comes back.

    The file is `<boot id> <wall> <moment>`, in nanoseconds since 1970 and of the monotonic clock, and is rewritten in
    place: that needs no room, so that a full disk ends no task. Nodes of a cluster, which have another monotonic clock,
    go by the wall's.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        """Take up what an agent before us was permitted since this host was booted. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._clock = clock
        self._boot = (_BOOT_ID.read_text().strip() if _BOOT_ID.exists() else "").ljust(_BOOT_BYTES)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._permission = Permission(self._kept_until())
        self._write(self._permission.until)
        self.changed = asyncio.Event()
        """Set, and replaced, when it is renewed."""

    @property
    def epoch(self) -> int | None:
        """Which permission holds now, None where none does: a number that comes again only while none was missing."""
        return self._permission.epoch if self._permission.holds(self._clock.monotonic()) else None

    def renew(self, sent: float, run_for_s: float) -> None:
        """Take in that a report sent at `sent` was answered; a file that cannot be written leaves all as it was."""
        before, now = self._permission, self._clock.monotonic()
        after = before.renewed(sent, run_for_s, now)
        if after is before:
            return
        try:
            self._write(after.until)
        except OSError as fault:
            log.error("permission not kept", message=str(fault))
            return
        self._permission = after
        if after.epoch != before.epoch:
            log.info("permission to run", duration_ms=int((after.until - now) * 1000))
        self.changed.set()
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Tell when the permission ends."""
        held = False
        while True:
            if held and self.epoch is None:
                log.warning("permission to run has ended", message="the mesh was not heard; what runs is stopped")
            held = self.epoch is not None
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Close the file; what was permitted stays so."""
        os.close(self._file)

    def _kept_until(self) -> float:
        kept = os.pread(self._file, 256, 0).decode(errors="replace")
        boot, moment = kept[:_BOOT_BYTES], kept.rpartition(" ")[2]
        if boot != self._boot or not moment.strip().isdecimal():
            return 0.0
        return int(moment) / 1e9

    def _write(self, until: float) -> None:
        left_s = until - self._clock.monotonic()
        moments = (max(0, int((self._clock.now().timestamp() + left_s) * 1e9)), int(until * 1e9))
        words = " ".join(f"{moment:0{_NS_DIGITS}d}" for moment in moments)
        os.pwrite(self._file, f"{self._boot} {words}\n".encode(), 0)
