"""Peers that say nothing: a machine without power, cut off or frozen ends no connection.

Whoever is asked and says nothing at all for a while is asked whether it is there. What waits for one that does not even
answer that is moved to another, as is what waits for a leader once there is the next one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from grpc import aio

if TYPE_CHECKING:
    from suanmesh_sdk.connections import Connection
    from suanmesh_sdk.route import Route

TICK_S = 0.2
"""How often it is looked, while anything is under way that could go elsewhere."""
UNHEARD_S = 0.8
"""How long a call waits, and nothing is heard over its connection, until its peer is asked whether it is there."""
PROBE_S = 1.0
"""How long that may take on a short line."""
PROBE_ROUND_TRIPS = 6
"""How long on a longer one: so many times as long as the quickest answer took, enough for a handshake."""
CALLS_MAX = 16
"""Under way on a connection that the question goes over: with twice as many a gateway lets the next one wait."""
UNMET_S = 5.0
"""How long a peer has that was never heard before: for the handshake, which gRPC bounds itself."""
SUSPECT_S = 10.0
"""How long one that said nothing is asked only where there is no other."""
SILENT = "no word from"
"""How a NOT_READY begins that says so."""
HEALTH = "/grpc.health.v1.Health/Check"
_NO_WORD = ("CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE")
"""Statuses that gRPC gives by itself."""


class Verdict(Enum):
    """What is to be done about a peer."""

    NOTHING = "NOTHING"
    PROBE = "PROBE"
    """Ask it whether it is there."""
    SILENT = "SILENT"
    """It is not."""


@dataclass(slots=True)
class Hearing:
    """What was heard of one peer over one connection; times in seconds on one clock that never goes back."""

    at: float = -math.inf
    """When something was heard last."""
    quickest_s: float = math.inf
    """How long the quickest answer took."""
    _looks: int = 0
    """How often it was looked since the peer was asked whether it is there; 0 where it was not asked."""

    def heard(self, now: float, took_s: float = math.inf) -> None:
        """Something came from the peer; of an answer with how long it took."""
        self.at = now
        self._looks = 0
        if took_s < self.quickest_s:
            self.quickest_s = took_s

    def look(self, now: float, asked_at: float) -> Verdict:
        """What to do, looked at every TICK_S, where what waits for longest was asked at `asked_at`.

        Looks are counted, not seconds: whoever was frozen itself has yet to read what came meanwhile.
        """
        if now - max(self.at, asked_at) < UNHEARD_S:
            self._looks = 0
            return Verdict.NOTHING
        self._looks += 1
        if self._looks == 1:
            return Verdict.PROBE
        return Verdict.SILENT if (self._looks - 1) * TICK_S >= self.patience_s else Verdict.NOTHING

    def silent_to(self, begun: float, now: float) -> bool:
        """Whether that which was asked at `begun` of a leader before this one need not be waited for."""
        return now - (begun if self.at == -math.inf else self.at) >= UNHEARD_S and now - begun >= TICK_S

    @property
    def patience_s(self) -> float:
        """How long the peer may take to say that it is there."""
        return UNMET_S if self.quickest_s == math.inf else max(PROBE_S, PROBE_ROUND_TRIPS * self.quickest_s)


class Attempt:
    """One attempt of a call, over one connection."""

    __slots__ = ("_break_off", "_on", "begun", "connection", "led", "moved", "route", "unary")

    def __init__(self, route: Route, connection: Connection, *, led: bool) -> None:
        self.route = route
        self.connection = connection
        self.led = led
        """Whether only the leader of its area answers it."""
        self.moved = False
        """Whether it was broken off to be made elsewhere."""
        self.begun = 0.0
        self.unary = False
        self._on: Silence | None = None
        self._break_off: Callable[[], object] | None = None
        connection.in_flight += 1

    def watched(self, break_off: Callable[[], object], *, unary: bool) -> None:
        """From now on `break_off` may be called once. A stream may have nothing to say for hours: `unary` may not."""
        self._break_off, self.unary = break_off, unary
        self._on = self.route.silence
        self._on.begin(self)

    def heard(self) -> None:
        """Something came from the peer."""
        if self._on is not None:
            self._on.heard(self)

    def over(self) -> None:
        """The attempt has ended, however."""
        self.connection.in_flight -= 1
        if self._on is not None:
            self._on.end(self)
            self._on = self._break_off = None

    def move(self) -> None:
        """Break it off, for it to be made elsewhere."""
        if self._break_off is not None and not self.moved:
            self.moved = True
            self._break_off()


class Silence:
    """Looks after the attempts that are under way over the connections of one mesh."""

    def __init__(self) -> None:
        self.suspects: dict[str, float] = {}
        """Addresses that said nothing, with until when they are avoided."""
        self._open: dict[Connection, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._probes: set[asyncio.Task[None]] = set()

    def begin(self, attempt: Attempt) -> None:
        """An attempt is under way from now on."""
        attempt.begun = asyncio.get_running_loop().time()
        _of_its_kind(attempt)[attempt] = None
        self._open[attempt.connection] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._look)

    def heard(self, attempt: Attempt) -> None:
        """Something came over its connection."""
        now = asyncio.get_running_loop().time()
        attempt.connection.hearing.heard(now, now - attempt.begun if attempt.unary else math.inf)
        if self.suspects:
            self.suspects.pop(attempt.connection.address, None)

    def end(self, attempt: Attempt) -> None:
        """It is under way no more."""
        _of_its_kind(attempt).pop(attempt, None)

    def avoided(self) -> Iterable[str]:
        """Addresses that are asked only where there is no other."""
        if self.suspects:
            now = asyncio.get_running_loop().time()
            self.suspects = {address: until for address, until in self.suspects.items() if now < until}
        return self.suspects

    async def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._open):
            if not connection.asking and not connection.streaming:
                del self._open[connection]
            elif now - connection.hearing.at >= UNHEARD_S:
                self._judge(connection, now)
        self._timer = loop.call_later(TICK_S, self._look) if self._open else None

    def _judge(self, connection: Connection, now: float) -> None:
        """Nothing was heard over a connection lately: move what can be moved."""
        attempts = [*connection.asking, *connection.streaming]
        route = attempts[0].route
        if route.led_elsewhere(connection.address):
            for attempt in attempts:
                if attempt.led and connection.hearing.silent_to(attempt.begun, now):
                    attempt.move()
        waits = next((each for each in connection.asking if route.may_go_elsewhere(each)), None)
        if waits is None:
            return
        verdict = connection.hearing.look(now, waits.begun)
        if verdict is Verdict.PROBE:
            probe = asyncio.get_running_loop().create_task(self._probe(connection))
            self._probes.add(probe)
            probe.add_done_callback(self._probes.discard)
        elif verdict is Verdict.SILENT:
            self.suspects[connection.address] = now + SUSPECT_S
            for attempt in attempts:
                if route.may_go_elsewhere(attempt):
                    attempt.move()
            route.silent(connection)

    async def _probe(self, connection: Connection) -> None:
        """Ask whether it is there; whatever it answers says that it is."""
        crowded = connection.in_flight > CALLS_MAX
        channel = connection.beside() if crowded else connection.channel
        check: Any = channel.unary_unary(HEALTH, None, None)
        try:
            await check(b"", timeout=max(UNMET_S, connection.hearing.patience_s))
        except aio.AioRpcError as error:
            if error.code().name in _NO_WORD:
                return
        finally:
            if crowded:
                await channel.close()
        connection.hearing.heard(asyncio.get_running_loop().time())


def _of_its_kind(attempt: Attempt) -> dict[Attempt, None]:
    return attempt.connection.asking if attempt.unary else attempt.connection.streaming
