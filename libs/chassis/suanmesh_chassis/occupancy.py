"""How much of a bounded thing is taken, and who may take more: pure counting, no waiting, no I/O.

Three rules hold at once. No caller takes more than `per_caller`, and no party more than `per_party`, so that one who
takes all he can leaves room for the others. What is reserved for a class of callers is never taken by another class,
so that agents, operators and health checks get in whatever users do. And never is more taken than `total`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

UNBOUNDED = 1 << 62


class CallerClass(Enum):
    """Whose calls are counted together."""

    __hash__ = object.__hash__
    """A member is itself alone; an enum's own hash is Python, and each call looks its class up a dozen times."""

    ANYONE = "anyone"
    """Without a certificate."""
    USER = "user"
    AGENT = "agent"
    OPERATOR = "operator"
    SERVICE = "service"


class Holder(NamedTuple):
    """Who takes."""

    klass: CallerClass
    caller: str
    """SPIFFE id; the address where there is no certificate."""
    party: str = ""
    """`parties/{p}` a user acts for, or empty."""


class ExceededBound(Enum):
    """Which bound is in the way."""

    CALLER = "caller"
    PARTY = "party"
    CLASS = "class"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much there is, and how it is shared; all in the same unit."""

    total: int
    per_caller: int
    per_party: int = UNBOUNDED
    per_caller_of: Mapping[CallerClass, int] = field(default_factory=dict)
    """By class, where it differs from `per_caller`."""
    reserved: Mapping[CallerClass, int] = field(default_factory=dict)
    """By class: as much of `total` as only that class may take."""
    most: Mapping[CallerClass, int] = field(default_factory=dict)
    """By class: the most that all of it may take together."""

    def __post_init__(self) -> None:
        """Raises ValueError where more is reserved than there is."""
        if sum(self.reserved.values()) > self.total:
            raise ValueError(f"{sum(self.reserved.values())} are reserved of {self.total}")

    def of_one(self, klass: CallerClass) -> int:
        """The most that one caller of `klass` may take."""
        return self.per_caller_of.get(klass, self.per_caller)


class _OfClass:
    """What one class of callers may take, and has."""

    __slots__ = ("most", "per_caller", "reserved", "taken", "unused")

    def __init__(self, bounds: Bounds, klass: CallerClass) -> None:
        self.per_caller = bounds.of_one(klass)
        self.most = bounds.most.get(klass, UNBOUNDED)
        self.reserved = bounds.reserved.get(klass, 0)
        self.taken = 0
        self.unused = self.reserved
        """Of what is reserved for it."""


class Occupancy:
    """What is taken of something that has `bounds`."""

    __slots__ = ("_by_caller", "_by_class", "_by_party", "_unused", "bounds", "taken")

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.taken = 0
        self._by_caller: dict[str, int] = {}
        self._by_party: dict[str, int] = {}
        self._by_class = {klass: _OfClass(bounds, klass) for klass in CallerClass}
        self._unused = sum(bounds.reserved.values())

    def obstacle(self, holder: Holder, amount: int = 1) -> ExceededBound | None:
        """Why `holder` cannot take `amount` more now; None where it can."""
        obstacle = self.take(holder, amount)
        if obstacle is None:
            self.give_back(holder, amount)
        return obstacle

    def take(self, holder: Holder, amount: int = 1) -> ExceededBound | None:
        """Take `amount` for `holder`, or take nothing and say why. In one piece: each call takes twice."""
        klass, caller, party = holder
        of = self._by_class[klass]
        mine = self._by_caller.get(caller, 0) + amount
        if mine > of.per_caller:
            return ExceededBound.CALLER
        ours = self._by_party.get(party, 0) + amount if party else 0
        if ours > self.bounds.per_party and klass is CallerClass.USER:
            return ExceededBound.PARTY
        taken = of.taken + amount
        if taken > of.most:
            return ExceededBound.CLASS
        total = self.taken + amount
        if total + self._unused - of.unused > self.bounds.total:  # what is unused of others is kept for them
            return ExceededBound.TOTAL
        self.taken = total
        of.taken = taken
        if of.unused:
            self._use(of)
        if amount:
            self._by_caller[caller] = mine
            if party:
                self._by_party[party] = ours
        return None

    def give_back(self, holder: Holder, amount: int = 1) -> None:
        """`holder` needs `amount` no more. Raises ValueError where it had not taken so much."""
        klass, caller, party = holder
        mine = self._by_caller.get(caller, 0) - amount
        if mine < 0:
            raise ValueError(f"{caller} gives back {amount} and has {mine + amount}")
        self.taken -= amount
        of = self._by_class[klass]
        of.taken -= amount
        if of.taken < of.reserved:
            self._use(of)
        # Nobody who has nothing is remembered: names come from outside, and would never end.
        if mine:
            self._by_caller[caller] = mine
        else:
            self._by_caller.pop(caller, None)
        if party:
            ours = self._by_party.get(party, 0) - amount
            if ours:
                self._by_party[party] = ours
            else:
                self._by_party.pop(party, None)

    def held_by(self, caller: str) -> int:
        """How much `caller` has taken."""
        return self._by_caller.get(caller, 0)

    def held_by_class(self, klass: CallerClass) -> int:
        """How much the callers of `klass` have taken together."""
        return self._by_class[klass].taken

    def _use(self, of: _OfClass) -> None:
        """Count anew what is unused of what is kept for a class."""
        unused = of.reserved - of.taken if of.taken < of.reserved else 0
        self._unused += unused - of.unused
        of.unused = unused
