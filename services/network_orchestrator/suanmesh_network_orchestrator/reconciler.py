"""Brings reservations to where their placements, leases and transfers have gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from datetime import timedelta
from functools import partial

import structlog

from suanmesh.network_orchestrator.v1.reservation_pb2 import Reservation as ReservationMessage
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh_chassis import FailureBackoff
from suanmesh_kernel.refusals import Aborted, Unavailable
from suanmesh_network_orchestrator import wire
from suanmesh_network_orchestrator.domain.reservations import Reservation, State, Use, reservation_name
from suanmesh_network_orchestrator.repository import AREA, Repository
from suanmesh_store import Groups, Mirror, Store, WorkQueue
from suanmesh_store.layout import HOLDS

log = structlog.get_logger()

RETRY_S = 1.0
"""How long etcd is left alone that could not say which holds stand."""
_NEEDS_INPUTS = frozenset({Placement.STATE_COMMITTED, Placement.STATE_ACCEPTED, Placement.STATE_STAGING})
_NamesOf = Callable[[str], Iterable[str]]
_ENDED = frozenset({Transfer.STATE_DONE, Transfer.STATE_FAILED, Transfer.STATE_CANCELLED})


class Reconciler:
    """Looks at every reservation that may have to move; a lost event costs one resync of delay."""

    def __init__(
        self,
        store: Store,
        repository: Repository,
        kept: Mirror[ReservationMessage],
        by_placement: Groups[ReservationMessage],
        placements: Mirror[Placement],
        transfers: Mirror[Transfer],
        *,
        resync_s: float,
        retention_s: float,
        backoff: FailureBackoff,
    ) -> None:
        """`by_placement` is what `grouped` made of `kept`."""
        self._store = store
        self._repository = repository
        self._kept = kept
        self._placements = placements
        self._transfers = transfers
        self._by_placement = by_placement
        self._resync_s = resync_s
        self._retention = timedelta(seconds=retention_s)
        self._tokens: set[str] = set()
        self._backoff = backoff
        self._queue = WorkQueue()

    async def run(self) -> None:
        """Settle reservations until cancelled."""
        with self._kept.following(self._queue):
            self._queue.add(self._kept.names())
            await self._work()

    async def settle(self, name: str) -> None:
        """Bring one reservation to where it belongs, and drop what it leaves behind."""
        held = self._kept.get(name)
        if held is None:
            return
        reservation = wire.reservation_from(held.message)
        if reservation.state is not State.RELEASED:
            reservation = await self._repository.settle(name, self._use(reservation)) or reservation
        if reservation.state is State.RELEASED and name in self._tokens:
            await self._repository.drop_token(reservation)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_tokens())
            tasks.create_task(self._follow(self._placements.changes(), self._of_placement))
            tasks.create_task(self._follow(self._transfers.changes(), self._of_transfer))
            tasks.create_task(self._resync())
            while True:
                name = await self._queue.take()
                await self._backoff.run(name, partial(self._settle_or_put_off, name))

    async def _settle_or_put_off(self, name: str) -> None:
        try:
            await self.settle(name)
        except (Aborted, Unavailable) as refusal:
            log.info("reservation put off", reservation=name, reason=refusal.reason)

    def _use(self, reservation: Reservation) -> Use | None:
        """What the placement needs the reservation for; None where it was not committed over it."""
        name = reservation.name
        held = self._placements.get(reservation.placement)
        if held is None or name not in held.message.holds:
            return None
        made = (*held.message.input_transfers, *held.message.output_transfers)
        moving = [t.message for n in made if (t := self._transfers.get(n)) is not None]
        carried = [transfer for transfer in moving if transfer.reservation == name]
        arrived = bool(carried) and all(transfer.state in _ENDED for transfer in carried)
        return Use(held.message.party, wanted=_moves(held.message, reservation) and not arrived)

    async def _follow(self, changes: AsyncGenerator[str, None], reservations_of: _NamesOf) -> None:
        async with aclosing(changes) as names:
            async for name in names:
                self._queue.add(reservations_of(name))

    async def _follow_tokens(self) -> None:
        while True:
            try:
                await self._know_tokens()
            except Unavailable as refusal:
                log.info("holds out of sight", reason=refusal.reason)
                await asyncio.sleep(RETRY_S)

    async def _know_tokens(self) -> None:
        """Know whose holds stand; one that goes with its round makes its reservation dirty."""
        standing = await self._store.tokens(HOLDS)
        self._tokens = {_of_key(token.key) for token in standing.tokens if _is_ours(token.key)}
        self._queue.add(self._kept.names())
        async for batch in self._store.watch_tokens(HOLDS, standing.revision, standing.tokens):
            for key, token in batch.changes:
                if _is_ours(key):
                    name = _of_key(key)
                    (self._tokens.add if token else self._tokens.discard)(name)
                    self._queue.add([name])

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self._resync_s)
            await self._backoff.run("all reservations", self._look_again)

    async def _look_again(self) -> None:
        """At all but those that were given back with their holds: they are most, and move in time."""
        kept = self._kept.values()
        self._queue.add(held.name for held in kept if held.name in self._tokens or not wire.is_released(held.message))
        await self._repository.archive(self._retention, self._tokens)

    def _of_placement(self, placement: str) -> Iterable[str]:
        return list(self._by_placement[placement])

    def _of_transfer(self, transfer: str) -> Iterable[str]:
        held = self._transfers.get(transfer)
        return [held.message.reservation] if held is not None and held.message.reservation else []


def grouped(kept: Mirror[ReservationMessage]) -> Groups[ReservationMessage]:
    """The reservations of a mirror by their placements."""
    groups: Groups[ReservationMessage] = Groups(lambda held: held.message.placement)
    kept.project(groups)
    return groups


def _moves(placement: Placement, reservation: Reservation) -> bool:
    """Whether the placement may still move data that way: inputs come before it runs, results leave until it ends."""
    leaves = reservation.source == placement.site
    return not placement.HasField("end_time") if leaves else placement.state in _NEEDS_INPUTS


def _is_ours(key: str) -> bool:
    return key.removeprefix(HOLDS).split("/")[1:2] == [AREA]


def _of_key(key: str) -> str:
    placement, _, index = key.removeprefix(HOLDS).split("/")
    return reservation_name(placement, int(index))
