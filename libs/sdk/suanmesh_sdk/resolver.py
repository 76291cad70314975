"""Who serves an area right now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class InstanceState(Enum):
    """Whether an instance takes new calls; one that is starting refuses them, and says why."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    STARTING = "STARTING"


@dataclass(frozen=True, slots=True)
class Instance:
    """One process that serves an area."""

    address: str
    """`host:port`."""
    leader: bool = False
    """Whether it leads its area and so takes what only the leader serves."""
    state: InstanceState = InstanceState.ACTIVE


class Resolver(Protocol):
    """Knows the instances of every area."""

    def instances(self, area: str) -> Sequence[Instance]:
        """The instances known now; never waits."""

    def others(self, area: str) -> Sequence[Instance]:
        """All instances that calls of `area` may go to, should the one that is used say nothing; never waits."""

    async def changed(self, area: str) -> None:
        """Return as soon as the instances of `area` are not what they were when this was called."""

    def unanswered(self, address: str) -> None:
        """Take note that nobody answered at `address` just now."""


class OneAddress:
    """A resolver that sends every area to one address: the gateway's, or an agent's data plane."""

    def __init__(self, address: str) -> None:
        self._instances = (Instance(address, leader=True),)

    def instances(self, area: str) -> Sequence[Instance]:
        """The one address."""
        return self._instances

    def others(self, area: str) -> Sequence[Instance]:
        """There is no other."""
        return self._instances

    async def changed(self, area: str) -> None:
        """Never returns: one address stays as it is."""
        await asyncio.Event().wait()

    def unanswered(self, address: str) -> None:
        """There is no other."""


class OneOf:
    """A resolver that sends every area to one of a few addresses, the gateways: the next one once one does not answer.

    All calls keep to the same one for as long as it answers, so that there is one connection and one place for traces.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._set(addresses)
        self._current = 0

    @property
    def addresses(self) -> Sequence[str]:
        """All of them, in the order in which they are tried."""
        return [instance.address for (instance,) in self._ways]

    def take(self, addresses: Sequence[str]) -> None:
        """Have others from now on; the one that is used stays in use where it is among them."""
        used = self._ways[self._current][0].address
        self._set(addresses)
        self._current = next((at for at, address in enumerate(addresses) if address == used), 0)

    def instances(self, area: str) -> Sequence[Instance]:
        """The address that is used now."""
        return self._ways[self._current]

    def others(self, area: str) -> Sequence[Instance]:
        """All addresses."""
        return self._all

    async def changed(self, area: str) -> None:
        """Never returns: the next address was taken before anybody waits."""
        await asyncio.Event().wait()

    def unanswered(self, address: str) -> None:
        """Go on to the next, unless that was done already."""
        if self._ways[self._current][0].address == address:
            self._current = (self._current + 1) % len(self._ways)

    def _set(self, addresses: Sequence[str]) -> None:
        self._all = tuple(Instance(address, leader=True) for address in addresses)
        self._ways = [(each,) for each in self._all]


def gateways(text: str) -> OneOf:
    """The resolver of `host:port`, or of several with commas between them, the first one first."""
    return OneOf([each.strip() for each in text.split(",")])
