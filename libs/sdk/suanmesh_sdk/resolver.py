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

    async def changed(self, area: str) -> None:
        """Return as soon as the instances of `area` are not what they were when this was called."""


class OneAddress:
    """A resolver that sends every area to one address: the gateway's, or an agent's data plane."""

    def __init__(self, address: str) -> None:
        self._instances = (Instance(address, leader=True),)

    def instances(self, area: str) -> Sequence[Instance]:
        """The one address."""
        return self._instances

    async def changed(self, area: str) -> None:
        """Never returns: one address stays as it is."""
        await asyncio.Event().wait()
