"""`Scheduler` on a Ray cluster: an element of a batch is a task of Ray's, with processors and memory asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suanmesh_agent.engines.batched.port import Batch
from suanmesh_agent.engines.queued import Node
from suanmesh_agent.engines.ray import client
from suanmesh_agent.engines.ray.asking import Asker
from suanmesh_agent.engines.ray.listing import UNTYPED, Entry, entries_of, nodes_of

CPU_MILLI_MIN = 10
"""Of a task that asks for none: without any, Ray starts all at once."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class RayAccess:
    """How a site's agent comes to Ray."""

    address: str
    """`host:port` of the head, or `auto` for the cluster that this host is a node of."""
    python: Path
    """The Python of Ray's nodes, with their Ray."""
    token_file: Path | None = None
    """File with the token of the cluster, where it wants one."""


class Ray:
    """`Scheduler`: Ray, in a namespace of the site's own."""

    def __init__(self, access: RayAccess, site: str) -> None:
        token = access.token_file
        auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token.absolute())} if token else {}
        command = [str(access.python), "-I", client.__file__, access.address, f"suanmesh-{site}"]
        self._asker = Asker(command, QUIET | auth)

    @property
    def title(self) -> str:
        """As `Scheduler`."""
        return "Ray"

    def close(self) -> None:
        """As `Scheduler`."""
        self._asker.close()

    async def submit(self, batch: Batch) -> str:
        """As `Scheduler`. Ray takes all: what no node has room for waits until one has."""
        elements = [
            (f"{batch.mark}/{element}", [*batch.command, str(element)], str(batch.folder / f"{element}.out"))
            for element in range(len(batch.keys))
        ]
        cpu_milli = max(CPU_MILLI_MIN, batch.needs.cpu_milli)
        cards = batch.needs.cards
        if len({model for _, model, _ in cards}) > 1:
            return "a node of Ray's has cards of one type"
        gpus, model = sum(count for *_, count in cards), cards[0][1] if cards else ""
        kind = "" if model == UNTYPED else model
        await self._asker.ask("take", elements, (cpu_milli / 1000, batch.needs.memory_bytes, gpus, kind))
        return ""

    async def listed(self, prefix: str) -> list[Entry]:
        """As `Scheduler`."""
        found = await self._asker.ask("held")
        return entries_of(found["held"], nodes_of(found["nodes"]), prefix)

    async def cancel(self, batch: tuple[str, str], entries: Sequence[Entry]) -> None:
        """As `Scheduler`."""
        await self._asker.ask("drop", [f"{entry.mark}/{entry.element}" for entry in entries])

    async def nodes(self) -> list[Node]:
        """As `Scheduler`."""
        return nodes_of(await self._asker.ask("nodes"))
