"""What a scenario says: a world in a readable file, and the faults that a seed chooses for it."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

WORLDS = Path(__file__).parent / "worlds"
KINDS = ("kill", "restart", "cut", "mute", "compact", "set_back", "drain")
LEAD_S = 5.0
"""No fault comes before the first jobs are on their way."""


@dataclass(frozen=True, slots=True)
class Links:
    """How the network behaves."""

    delay_ms: tuple[float, float] = (0.2, 2.0)
    lost: float = 0.0
    """Share of calls whose request or answer is lost."""
    doubled: float = 0.0
    """Share of calls whose request arrives twice."""


@dataclass(frozen=True, slots=True)
class Keys:
    """How the keyspace behaves."""

    delay_ms: tuple[float, float] = (0.5, 3.0)
    unreachable: float = 0.0
    """Share of transactions that do not arrive."""
    unknown: float = 0.0
    """Share of transactions that are done, and whose answer is lost."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What is done to processes and links."""

    every_s: tuple[float, float] = (20.0, 60.0)
    lasts_s: tuple[float, float] = (0.5, 10.0)
    kill: tuple[str, ...] = ()
    """Ended as by SIGKILL; they begin anew when the fault is over."""
    restart: tuple[str, ...] = ()
    """Told to stop, and started again."""
    mute: tuple[str, ...] = ()
    """Their keep-alives do not arrive: leases and leads lapse."""
    set_back: tuple[str, ...] = ()
    """Sites whose agents go on from what their journals were when the fault began."""
    drain: tuple[str, ...] = ()
    """Sites whose owners take them out of use, and let work come again when the fault is over."""
    compact: tuple[str, ...] = ()
    """`etcd`, which forgets its history."""
    cut: tuple[str, ...] = ()
    """Pairs of hosts, `a-b`, between which nothing passes."""
    kill_at_write: str = ""
    """Who is killed right before or after one of its writes: the seed chooses which."""


@dataclass(frozen=True, slots=True)
class World:
    """A node, what is asked of it, and what befalls it."""

    name: str
    about: str
    sites: int = 3
    cores: int = 4
    minutes: float = 3.0
    jobs: int = 20
    task_s: tuple[float, float] = (2.0, 30.0)
    max_attempts: tuple[int, ...] = (3,)
    """How often a job may be tried: one of these."""
    failing: float = 0.1
    """Share of jobs whose task fails."""
    cancelled: float = 0.1
    """Share of jobs that are cancelled."""
    clocks_off_s: float = 0.0
    """How far the clock of a host may be off, before or behind the time."""
    signing_key_days: float = 90.0
    """How long a key is good that a site signs with."""
    standbys: tuple[str, ...] = ()
    """Services that run twice; the second instance of one is called as it with a 2."""
    liar: str = ""
    """A site whose tasks say that they used a hundred times as much."""
    links: Links = Links()
    keys: Keys = Keys()
    faults: Faults = Faults()


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a run."""

    begin_s: float
    end_s: float
    kind: str
    whom: str

    def text(self) -> str:
        """For people."""
        return f"{self.begin_s:7.1f} to {self.end_s:7.1f} s  {self.kind} {self.whom}"


def names() -> list[str]:
    """The worlds there are."""
    return sorted(path.stem for path in WORLDS.glob("*.toml"))


def read(name: str) -> World:
    """A world by its name. Raises ValueError where its file says what is not known."""
    told = tomllib.loads((WORLDS / f"{name}.toml").read_text())
    parts = {"links": Links, "keys": Keys, "faults": Faults}
    filled = {part: _filled(kind, told.pop(part, {})) for part, kind in parts.items()}
    return _filled(World, {"name": name, **told, **filled})


def plan(world: World, seed: int) -> list[Fault]:
    """The faults of a seed, one after the other."""
    chance = Random(f"{world.name} {seed} faults")
    choices = [(kind, whom) for kind in KINDS for whom in getattr(world.faults, kind)]
    found: list[Fault] = []
    at_s = LEAD_S
    while choices and at_s < world.minutes * 60:
        at_s += chance.uniform(*world.faults.every_s)
        kind, whom = chance.choice(choices)
        end_s = at_s + chance.uniform(*world.faults.lasts_s)
        found.append(Fault(at_s, end_s, kind, whom))
    return found


def _filled(kind: Any, told: dict[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    if unknown := told.keys() - known:
        raise ValueError(f"{kind.__name__} has no {min(unknown)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in told.items()})
