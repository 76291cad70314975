"""Which faults strike when: a pure function of the seed, the length and the names of what there is."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

EVERYBODY = "*"
CONCURRENT_MAX = 3
"""Faults that may stand at the same time."""
FIRST_S = 3.0
"""Before it nothing is disturbed, so that there is work to hurt."""
CALM_S = 2.0
"""Between two faults of the same process."""


class Kind(StrEnum):
    """What is done to a process or to what it is connected with."""

    KILL = "kill"
    FREEZE = "freeze"
    ISOLATE = "isolate"
    CUT = "cut"
    FILL_DISK = "fill disk"


class Mode(StrEnum):
    """What a connection does with what is sent over it."""

    PASS = "pass"
    HOLD = "hold"
    HOLD_TO = "hold what goes to the server"
    HOLD_FROM = "hold what comes from the server"
    DELAY = "delay"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Actors:
    """Names of the processes of a node, by what they are."""

    services: tuple[str, ...]
    standbys: tuple[str, ...]
    gateway: str
    agents: tuple[str, ...]
    members: tuple[str, ...]
    disks: tuple[str, ...]

    @property
    def processes(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.services, *self.standbys, self.gateway, *self.agents, *self.members)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `target` is hurt from `begin_s` to `end_s`; a cut is between `source` and it."""

    kind: Kind
    target: str
    begin_s: float
    end_s: float
    source: str = EVERYBODY
    mode: Mode = Mode.HOLD

    def text(self) -> str:
        """On one line."""
        if self.kind is Kind.CUT:
            what = f"{self.mode}: {self.source} -> {self.target}"
        else:
            what = f"{self.target}" + (f" ({self.mode})" if self.kind is Kind.ISOLATE else "")
        return f"{self.kind} {what}"

    def facts(self) -> dict[str, object]:
        """As plain JSON."""
        return asdict(self)


WEIGHTS = {Kind.KILL: 6, Kind.FREEZE: 5, Kind.CUT: 5, Kind.ISOLATE: 3, Kind.FILL_DISK: 1}
SHORTEST_S = {Kind.KILL: 0.2, Kind.FREEZE: 1.0, Kind.CUT: 1.0, Kind.ISOLATE: 2.0, Kind.FILL_DISK: 3.0}
LONGEST_S = {Kind.KILL: 8.0, Kind.FREEZE: 40.0, Kind.CUT: 20.0, Kind.ISOLATE: 30.0, Kind.FILL_DISK: 12.0}
MEMBER_S_MAX = 6.0
"""An etcd member is hurt for no longer, or two at once would leave no majority for most of a run."""
PAUSE_MEAN_S = 3.0


def schedule(seed: int, seconds: float, actors: Actors) -> tuple[Fault, ...]:
    """The faults of a run of so many seconds, by their begin. All have ended when it ends."""
    chance = random.Random(f"{seed} faults")
    kinds = [kind for kind in Kind if actors.disks or kind is not Kind.FILL_DISK]
    faults: list[Fault] = []
    now = FIRST_S
    while True:
        now = _room(faults, math.ceil(100 * (now + chance.expovariate(1 / PAUSE_MEAN_S))) / 100)
        kind = chance.choices(kinds, [WEIGHTS[kind] for kind in kinds])[0]
        fault = _fault(chance, kind, now, seconds, actors)
        if fault is None:
            return tuple(faults)
        if not _overlaps(faults, fault):
            faults.append(fault)


def _fault(chance: random.Random, kind: Kind, begin_s: float, seconds: float, actors: Actors) -> Fault | None:
    """A fault that begins now; None where none ends in time."""
    target = chance.choice(_targets(kind, actors))
    longest_s = min(LONGEST_S[kind], MEMBER_S_MAX if target in actors.members else LONGEST_S[kind])
    longest_s = min(longest_s, seconds - begin_s)
    if longest_s < SHORTEST_S[kind]:
        return None
    # Short ones are frequent, long ones happen: the square of an even chance.
    end_s = round(begin_s + SHORTEST_S[kind] + (longest_s - SHORTEST_S[kind]) * chance.random() ** 2, 2)
    mode = Mode.HOLD
    source = EVERYBODY
    if kind is Kind.CUT:
        mode = chance.choice([Mode.HOLD, Mode.HOLD_TO, Mode.HOLD_FROM, Mode.DELAY, Mode.RESET])
        source = chance.choice([name for name in _callers(target, actors) if name != target])
    elif kind is Kind.ISOLATE:
        mode = chance.choice([Mode.HOLD, Mode.HOLD, Mode.RESET])
    return Fault(kind, target, begin_s, end_s, source, mode)


def _targets(kind: Kind, actors: Actors) -> Sequence[str]:
    """Whom a fault of this kind can strike; sites more often than their number, since much is decided by their loss."""
    if kind is Kind.FILL_DISK:
        return actors.disks
    if kind in (Kind.FREEZE, Kind.ISOLATE):
        return (*actors.processes, *actors.agents, *actors.agents)
    return actors.processes


def _callers(target: str, actors: Actors) -> Sequence[str]:
    """Who opens connections to `target`."""
    inner = (*actors.services, *actors.standbys, actors.gateway)
    if target in actors.members:
        return (*inner, *actors.members)
    if target == actors.gateway:
        return actors.agents
    if target in actors.agents:
        return (*actors.agents, *(name for name in actors.services if name in ("transport", "scheduler")))
    return inner


def _room(faults: Sequence[Fault], now: float) -> float:
    """The first moment from `now` on at which one fault more may stand."""
    while len(standing := [fault for fault in faults if fault.begin_s <= now < fault.end_s]) >= CONCURRENT_MAX:
        now = min(fault.end_s for fault in standing)
    return now


def _overlaps(faults: Sequence[Fault], new: Fault) -> bool:
    """Whether the same process is hurt already, or was until just now; a cut may go with anything but its like."""
    return any(
        (other.target, other.source) == (new.target, new.source) and new.begin_s < other.end_s + CALM_S
        for other in faults
    )
