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
        klass, caller, party = holder
        of = self._by_class[klass]
        if self._by_caller.get(caller, 0) + amount > of.per_caller:
            return ExceededBound.CALLER
        if party and klass is CallerClass.USER and self._by_party.get(party, 0) + amount > self.bounds.per_party:
            return ExceededBound.PARTY
        if of.taken + amount > of.most:
            return ExceededBound.CLASS
        kept_for_others = self._unused - of.unused
        return ExceededBound.TOTAL if self.taken + amount + kept_for_others > self.bounds.total else None

    def take(self, holder: Holder, amount: int = 1) -> ExceededBound | None:
        """Take `amount` for `holder`, or take nothing and say why."""
        obstacle = self.obstacle(holder, amount)
        if obstacle is None:
            self._change(holder, amount)
        return obstacle

    def give_back(self, holder: Holder, amount: int = 1) -> None:
        """`holder` needs `amount` no more. Raises ValueError where it had not taken so much."""
        if self._by_caller.get(holder.caller, 0) < amount:
            raise ValueError(f"{holder.caller} gives back {amount} and has {self._by_caller.get(holder.caller, 0)}")
        self._change(holder, -amount)

    def held_by(self, caller: str) -> int:
        """How much `caller` has taken."""
        return self._by_caller.get(caller, 0)

    def held_by_class(self, klass: CallerClass) -> int:
        """How much the callers of `klass` have taken together."""
        return self._by_class[klass].taken

    def _change(self, holder: Holder, amount: int) -> None:
        klass, caller, party = holder
        self.taken += amount
        # Nobody who has nothing is remembered: names come from outside, and would never end.
        mine = self._by_caller.get(caller, 0) + amount
        if mine:
            self._by_caller[caller] = mine
        else:
            self._by_caller.pop(caller, None)
        if party:
            ours = self._by_party.get(party, 0) + amount
            if ours:
                self._by_party[party] = ours
            else:
                self._by_party.pop(party, None)
        of = self._by_class[klass]
        of.taken += amount
        if of.reserved:
            unused = of.reserved - of.taken if of.taken < of.reserved else 0
            self._unused += unused - of.unused
            of.unused = unused
