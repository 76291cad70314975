"""The gateways of a node that came later: asked for now and then, and kept beside the caller's certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suanmesh_kernel.clock import Clock, SystemClock
from suanmesh_kernel.private import replace_private
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.resolver import OneOf

if TYPE_CHECKING:
    from suanmesh.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub

FILE = "gateways"
ASK_S = 2.0
"""How long a gateway may take to say which there are, seconds."""
FRESH_S = 3600.0
"""How long what was said last is good enough for a program that begins, seconds."""
EVERY_S = 60.0
"""How often a process that lives long asks, seconds."""
BYTES_MAX = 64 * 400
Ask = Callable[[], Awaitable[Sequence[str]]]
"""Asks which gateways there are. Raises Refusal."""


def asking_gateways(gateway: GatewayServiceStub) -> Ask:
    """Asks the gateway that is used at the moment."""
    from suanmesh.gateway.v1.gateway_service_pb2 import ListGatewaysRequest

    async def ask() -> Sequence[str]:
        return list((await gateway.ListGateways(ListGatewaysRequest(), timeout=ASK_S)).addresses)

    return ask


def in_order(told: Sequence[str], learned: Sequence[str]) -> list[str]:
    """In which order gateways are tried: those that the caller was told of come first, and those that went last.

    Where no gateway calls itself as the caller was told, it is reached another way than it knows: then what was told
    goes before all that was learned.
    """
    if not set(told) & set(learned):
        return list(dict.fromkeys((*told, *learned)))
    still = [each for each in told if each in learned]
    return list(dict.fromkeys((*still, *learned, *told)))


class KeptGateways:
    """Those that a caller knows: what it was told, and what it has learned since."""

    def __init__(self, told: str, file: Path, clock: Clock | None = None) -> None:
        """`told` is one `host:port`, or several with commas between."""
        self._clock = clock or SystemClock()
        self._told = [each.strip() for each in told.split(",")]
        self._file = file
        self._changed = asyncio.Event()
        self.ways = OneOf(in_order(self._told, self._read()))
        """The resolver that follows them."""

    @property
    def addresses(self) -> Sequence[str]:
        """All of them, in the order in which they are tried."""
        return self.ways.addresses

    async def changed(self) -> None:
        """Return as soon as there are others than when this was called."""
        await self._changed.wait()

    async def learn(self, ask: Ask) -> None:
        """Ask, and keep the answer, for programs that begin later too. What comes of it is nobody's trouble."""
        try:
            learned = await ask()
            self._keep(learned)
        except (Refusal, OSError):
            return
        addresses = in_order(self._told, learned)
        if set(addresses) != set(self.addresses):
            self._changed.set()
            self._changed = asyncio.Event()
        self.ways.take(addresses)

    async def keep_learning(self, ask: Ask) -> None:
        """The same again and again, for a process that lives long."""
        while True:
            await self.learn(ask)
            await asyncio.sleep(EVERY_S)

    async def learn_if_stale(self, ask: Ask) -> None:
        """The same where nobody has asked for a while."""
        if self._age_s() > FRESH_S:
            await self.learn(ask)

    def _age_s(self) -> float:
        try:
            return self._clock.now().timestamp() - self._file.stat().st_mtime
        except OSError:
            return FRESH_S + 1

    def _read(self) -> list[str]:
        try:
            with self._file.open() as opened:
                return [line.strip() for line in opened.read(BYTES_MAX).splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError):
            return []

    def _keep(self, learned: Sequence[str]) -> None:
        if self._read() == list(learned):
            self._file.touch()
        else:
            replace_private(self._file, "".join(f"{each}\n" for each in learned).encode())
