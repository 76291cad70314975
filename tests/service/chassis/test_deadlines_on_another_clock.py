"""The clock of a process goes on while the machine sleeps, that of its timers does not: deadlines mean both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from suanmesh_chassis import Call, Served
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe, Probes
from suanmesh_chassis.testing import LoopbackNode
from suanmesh_kernel.clock import HandClock, SystemClock
from suanmesh_sdk import time_left


class _Telling(Probes):
    """Answers with the seconds that calls of its own have left."""

    async def Read(self, request: Any, call: Call) -> Any:
        return Probe(text=f"{time_left()}")


async def test_what_is_left_for_further_calls_is_what_the_caller_left(tmp_path: Path) -> None:
    """On a machine that had slept, a service let its calls take as much longer as the machine had slept."""
    async with LoopbackNode(tmp_path, HandClock(SystemClock().now())) as node:
        address = await node.serve(node.process("probe"), [Served(PROBE_SERVICE, _Telling())])
        channel = node.mesh(address).channel("probe")
        read = channel.unary_unary(f"/{SERVICE}/Read", Probe.SerializeToString, Probe.FromString)

        answer = await read(Probe(text="x"), timeout=60)

    assert 0 < float(answer.text) <= 60
