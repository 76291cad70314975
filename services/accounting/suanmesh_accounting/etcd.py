"""The ports on etcd: mirrors of what others write."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC

from suanmesh.accounting.v1 import ledger_pb2
from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_accounting.domain.ledger import Move, PlacementStatus
from suanmesh_chassis.signing import windows_by_id
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.key_windows import KeyWindow
from suanmesh_store import Create, Mirror, Store, Update
from suanmesh_store.agreement import Mark, Node
from suanmesh_store.layout import LEDGER_MARKS, PLACEMENTS, SITES, TRANSFERS
from suanmesh_store.marks import node_of

MARK = "ledger"
TERMINAL = frozenset(
    {
        placement_pb2.Placement.STATE_DONE,
        placement_pb2.Placement.STATE_FAILED,
        placement_pb2.Placement.STATE_REFUSED,
        placement_pb2.Placement.STATE_CANCELLED,
        placement_pb2.Placement.STATE_PREEMPTED,
        placement_pb2.Placement.STATE_EXPIRED,
        placement_pb2.Placement.STATE_LOST,
    }
)
"""States of a placement in which nothing more is used."""
NEVER_RAN = frozenset({placement_pb2.Placement.STATE_REFUSED, placement_pb2.Placement.STATE_EXPIRED})
"""Ends before any task was started: no usage has to be waited for."""


class EtcdMesh:
    """What the rest of the node knows, read from mirrors and, where a mirror may be behind, from etcd itself."""

    def __init__(self, store: Store, sites: Mirror[site_pb2.Site]) -> None:
        self._store = store
        self._sites = sites

    async def signing_keys(self, site: str, wanted: Collection[str]) -> Mapping[str, KeyWindow]:
        """From the mirror, and from etcd where a key is too new for it."""
        held = self._sites.get(site)
        keys = windows_by_id(held.message.signing_keys) if held else {}
        if all(each in keys for each in wanted):
            return keys
        held = await self._store.get(SITES, site)
        return windows_by_id(held.message.signing_keys) if held else {}

    async def move_of(self, transfer: str) -> Move | None:
        """Read from etcd: a small transfer ends before any mirror has seen it."""
        held = await self._store.get(TRANSFERS, transfer)
        if held is None:
            return None
        made = held.message
        return Move(made.source, made.target, made.placement, made.dataset)

    async def standing(self, placements: Collection[str]) -> Mapping[str, PlacementStatus]:
        """Read from etcd, so that a commit made a moment ago is seen."""
        found = [held.message for held in (await self._store.get_many(PLACEMENTS, placements)).values()]
        transfers = [name for message in found if message.state in TERMINAL for name in message.output_transfers]
        made = await self._store.get_many(TRANSFERS, transfers) if transfers else {}
        reported = frozenset(name for name, held in made.items() if _reports(held.message))
        return {message.name: _status(message, reported) for message in found}


class LedgerMarks:
    """`Marks`, in a document of accounting's own."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @property
    def leads(self) -> bool:
        """Whether the term of the store surely stands."""
        return self._store.leadership is None or self._store.leadership.alive

    async def last(self) -> Mark:
        """The last mark."""
        held = await self._store.get(LEDGER_MARKS, MARK)
        if held is None:
            return Mark()
        told = held.message
        return Mark(told.ledger, told.generation, told.number, told.sequence)

    async def leave(self, mark: Mark) -> None:
        """Put it, under the fence of the term."""
        held = await self._store.get(LEDGER_MARKS, MARK)
        put = ledger_pb2.LedgerMark(
            name=MARK, ledger=mark.store, generation=mark.generation, number=mark.number, sequence=mark.sequence
        )
        put.lead_time.FromDatetime(self._clock.now())
        await self._store.commit(Create(LEDGER_MARKS, MARK, put) if held is None else Update(held, put))

    async def node(self) -> Node:
        """The node that etcd belongs to."""
        return await node_of(self._store)


def _status(message: placement_pb2.Placement, reported: frozenset[str]) -> PlacementStatus:
    """`reported` are transfers whose usage is reported; one that has been archived is too old to be waited for."""
    terminal = message.state in TERMINAL
    end_time = message.end_time.ToDatetime(UTC) if message.HasField("end_time") else None
    tasks = 0 if message.state in NEVER_RAN else max(1, message.work.count)
    deliveries = reported & set(message.output_transfers) if terminal else frozenset()
    return PlacementStatus(terminal, end_time, tasks, deliveries)


def _reports(transfer: transfer_pb2.Transfer) -> bool:
    """Whether its target reports usage: it does of what somebody pays for and what came over the wire.

    Nothing came where the target had the dataset before (`REPLICA_PRESENT`), or the same bytes under another name.
    """
    done = transfer.state == transfer_pb2.Transfer.STATE_DONE
    return done and bool(transfer.account) and transfer.receipt.bytes_received > 0
