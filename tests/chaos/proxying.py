"""The process of the proxies, as the run sees it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaos.proxies import Front, Rule
from suanmesh_local.die_with_parent import die_with_parent

TESTS = Path(__file__).resolve().parents[1]


class Proxies:
    """Tells the process of the proxies what stands between whom."""

    def __init__(self) -> None:
        self._child: asyncio.subprocess.Process | None = None
        self._rules: list[Rule] = []
        self._turn = asyncio.Lock()

    async def start(self, fronts: Iterable[Front]) -> None:
        """Start it, and stand before every process."""
        pipe = asyncio.subprocess.PIPE
        command = die_with_parent([sys.executable, "-m", "chaos.proxies"])
        environment = {"PYTHONPATH": str(TESTS)}
        self._child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment)
        await self._tell(fronts=[asdict(front) for front in fronts])

    async def know(self, pids: Mapping[str, int]) -> None:
        """Who is which process."""
        await self._tell(pids=dict(pids))

    async def add(self, *rules: Rule) -> None:
        """Let rules stand from now on."""
        self._rules += rules
        await self._tell_rules()

    async def remove(self, *rules: Rule) -> None:
        """Let rules stand no more."""
        for rule in rules:
            self._rules.remove(rule)
        await self._tell_rules()

    async def stop(self) -> None:
        """End it."""
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()
            await self._child.wait()

    async def _tell_rules(self) -> None:
        await self._tell(rules=[(rule.source, rule.target, rule.mode) for rule in self._rules])

    async def _tell(self, **what: Any) -> None:
        """Say it, and wait until it is done."""
        if self._child is None or self._child.stdin is None or self._child.stdout is None:
            raise RuntimeError("the proxies have not been started")
        async with self._turn:
            self._child.stdin.write(json.dumps(what).encode() + b"\n")
            await self._child.stdout.readline()
