"""What the agent knows to be wrong with its own site, for its operator and for those who would place on it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import structlog

from suanmesh_agent.domain.cards import CardLook, counted
from suanmesh_agent.journal import Journal
from suanmesh_agent.ports import Engine
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.quantities import Capacity
from suanmesh_kernel.reasons import DETAIL, NO_REASON, StateReason

log = structlog.get_logger()

DISK_FREE_BYTES_MIN = 64 * 1024 * 1024
"""With less free, neither a working folder nor the journal is sure of its place."""
LOOK_S = 5.0
"""How often it is tried whether the journal takes a line."""


class Health:
    """Looks at disk and journal, and tells what the engine said last."""

    def __init__(self, folder: Path, journal: Journal, clock: Clock, engine: Engine) -> None:
        self._folder = folder
        self._journal = journal
        self._clock = clock
        self._engine = engine
        self.cards: tuple[CardLook, ...] = ()
        """How the cards stood at the last `look`."""
        self._looked_at = float("-inf")
        self._journal_fault = NO_REASON
        self._told = ""

    async def look(self) -> None:
        """Look at the cards."""
        self.cards = await asyncio.to_thread(self._engine.cards)

    def really_free(self, free: Capacity) -> Capacity:
        """What is free, scratch no more than the disk has, and no card that has a fault."""
        disk_bytes = self._free_bytes()
        faulty = Capacity(devices=counted(look.card for look in self.cards if look.fault))
        scratch_bytes = min(free.scratch_bytes, disk_bytes)
        return replace(free, scratch_bytes=scratch_bytes, devices=free.minus(faulty).devices)

    def reason(self) -> StateReason:
        """What is wrong; nothing when nothing is known to be."""
        found = self._gone() or self._disk() or self._journal_writable() or self._starts() or self._card_faults()
        if found.code != self._told:
            self._told = found.code
            log.warning("site is in trouble", reason=str(found)) if found else log.info("site is well again")
        return found

    def _gone(self) -> StateReason:
        """A file that was removed still takes what is written; nobody ever reads it."""
        if self._journal.path.exists():
            return NO_REASON
        return StateReason("JOURNAL_FAULT", {DETAIL: f"{self._journal.path} is gone, with what else was in its folder"})

    def _free_bytes(self) -> int:
        try:
            return shutil.disk_usage(self._folder).free
        except OSError:
            return 0

    def _disk(self) -> StateReason:
        free_bytes = self._free_bytes()
        full = free_bytes < DISK_FREE_BYTES_MIN
        return StateReason("DISK_FULL", {"free_bytes": str(free_bytes)}) if full else NO_REASON

    def _journal_writable(self) -> StateReason:
        now = self._clock.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            try:
                self._journal.remember("looked_at", str(int(now)))
                self._journal_fault = NO_REASON
            except sqlite3.OperationalError as fault:
                self._journal_fault = StateReason("JOURNAL_FAULT", {DETAIL: str(fault)})
        return self._journal_fault

    def _starts(self) -> StateReason:
        fault = self._engine.start_fault
        return StateReason("TASK_NOT_STARTED", {DETAIL: fault}) if fault else NO_REASON

    def _card_faults(self) -> StateReason:
        faulty = [look for look in self.cards if look.fault]
        if not faulty:
            return NO_REASON
        facts = {"faulty": str(len(faulty)), "present": str(len(self.cards)), "device": faulty[0].card.id}
        return StateReason("DEVICE_FAULT", {**facts, DETAIL: faulty[0].fault})
