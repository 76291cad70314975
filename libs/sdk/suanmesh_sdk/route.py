"""The way to one area: who serves it, under which name, over which connections, and how often to insist."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection

from suanmesh_kernel.clock import Rng
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_kernel.texts import Text
from suanmesh_sdk.connections import Connection, Connections
from suanmesh_sdk.hooks import Hook
from suanmesh_sdk.methods import Method
from suanmesh_sdk.picking import elsewhere, pick
from suanmesh_sdk.renewal import QuietRenewal
from suanmesh_sdk.resolver import Instance, Resolver
from suanmesh_sdk.retries import Budgets
from suanmesh_sdk.silence import Attempt, Silence
from suanmesh_sdk.status import MESH_DOMAIN

CHANCE_BYTES = 16
"""Of the seed of what a route leaves to chance: how long it waits."""


class Route:
    """One area as its callers see it."""

    def __init__(
        self,
        area: str,
        server_name: str,
        resolver: Resolver,
        connections: Connections,
        budgets: Budgets,
        *,
        follows_leader: bool,
        hook: Hook | None,
        rng: Rng,
        renewal: QuietRenewal | None = None,
    ) -> None:
        self.hook = hook
        self.budgets = budgets
        self.rng = rng
        self.chance = random.Random(rng(CHANCE_BYTES))
        self._area = area
        self._server_name = server_name
        self._resolver = resolver
        self._connections = connections
        self._follows_leader = follows_leader
        self._renewal = renewal
        self._leader_hint = ""
        self._known_at_hint: tuple[Instance, ...] = ()

    @property
    def silence(self) -> Silence:
        """What looks after attempts that nobody answers."""
        return self._connections.silence

    @property
    def has_spare(self) -> bool:
        """Whether there is more than one instance, so that one that says nothing need not be waited for."""
        return len(self._resolver.others(self._area)) > 1

    def led_elsewhere(self, address: str) -> bool:
        """Whether it is known that another than `address` leads."""
        return self._follows_leader and elsewhere(self._resolver.others(self._area), address, led=True)

    def may_go_elsewhere(self, attempt: Attempt) -> bool:
        """Whether another instance would answer that attempt, if this one does not."""
        return elsewhere(self._resolver.others(self._area), attempt.connection.address, led=attempt.led)

    def silent(self, connection: Connection) -> None:
        """Nothing comes over `connection`: the next call makes one of its own."""
        self._connections.drop(connection)
        self.unanswered(connection.address)

    @property
    def has_chores(self) -> bool:
        """Whether `do_chores` has anything to do."""
        return self._connections.any_dropped or (self._renewal is not None and self._renewal.looks)

    async def do_chores(self) -> None:
        """Before a call: close connections that nothing is left on, renew the certificate where that is due."""
        if self._connections.any_dropped:
            await self._connections.sweep()
        if self._renewal is not None and self._renewal.looks:
            await self._renewal()

    def connection(self, method: Method, tried: Collection[str]) -> Connection:
        """The connection for the next attempt.

        Raises Unavailable (`NOT_READY`) where no instance is known.
        """
        instances = self._resolver.instances(self._area)
        if self._leader_hint and tuple(instances) != self._known_at_hint:
            self._leader_hint = ""  # the resolver has caught up, and knows better than an old answer
        address = pick(
            instances,
            led=method.led,
            leader_hint=self._leader_hint,
            tried={*tried, *avoided} if (avoided := self.silence.avoided()) else tried,
            in_flight=self._in_flight,
        )
        if not address:
            raise Unavailable("NOT_READY", f"no instance of {self._area} is known", domain=MESH_DOMAIN, area=self._area)
        return self._connections.to(address, self._server_name)

    def learn(self, refusal: Refusal) -> bool:
        """Remember what `refusal` says of the leader; True where it names another address to go to at once."""
        if refusal.reason != "NOT_LEADER" or not self._follows_leader:
            return False
        leader = refusal.facts.get("leader", "")
        moved = bool(leader) and leader != self._leader_hint
        self._leader_hint = leader
        self._known_at_hint = tuple(self._resolver.instances(self._area))
        return moved

    def forget(self, address: str) -> None:
        """`address` did not answer: do not take it for the leader on hearsay."""
        if self._leader_hint == address:
            self._leader_hint = ""

    def unanswered(self, address: str) -> None:
        """Nobody answered at `address`, or it had not what it needs itself."""
        self.forget(address)
        self._resolver.unanswered(address)

    def trouble(self) -> Text | None:
        """What can be seen to be wrong with what callers show."""
        return self._connections.trouble()

    async def rest(self, seconds: float) -> None:
        """Wait, but not past the moment at which the instances change."""
        if self._connections.any_dropped:
            await self._connections.sweep()
        try:
            async with asyncio.timeout(seconds):
                await self._resolver.changed(self._area)
        except TimeoutError:
            return

    def _in_flight(self, address: str) -> int:
        return self._connections.to(address, self._server_name).in_flight
