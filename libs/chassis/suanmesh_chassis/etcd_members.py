"""Whether the members of etcd answer, asked one by one now and then: a client goes on with those that do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from suanmesh_etcd3 import EtcdError
from suanmesh_etcd3.values import Status
from suanmesh_telemetry import names
from suanmesh_telemetry.readings import Reading

EVERY_S = 10.0
"""How often they are asked, seconds."""


class EtcdMembers:
    """How each member stood when it was asked last."""

    def __init__(self, addresses: Callable[[], Sequence[str]], ask: Callable[[str], Awaitable[Status]]) -> None:
        """`addresses` are those of the members now; `ask` raises EtcdError where one does not answer."""
        self._addresses = addresses
        self._ask = ask
        self._known: dict[str, Status | None] = {}

    async def run(self) -> None:
        """Ask again and again until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Ask each of them once."""
        known: dict[str, Status | None] = {}
        for address in self._addresses():
            if address not in self._addresses():
                continue  # it was taken out meanwhile
            try:
                known[address] = await self._ask(address)
            except EtcdError:
                known[address] = None
        self._known = known

    def readings(self) -> Iterator[Reading]:
        """Of each member whether it answers and how much it keeps, and whether any knows of a leader."""
        for address, status in self._known.items():
            yield Reading(names.ETCD_MEMBER_UP, status is not None, (address,))
            if status is not None:
                yield Reading(names.ETCD_BYTES, status.db_bytes, (address,))
        if self._known:
            led = any(status is not None and status.leader_id for status in self._known.values())
            yield Reading(names.ETCD_LED, led)
