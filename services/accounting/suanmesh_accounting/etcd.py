"""The ports on etcd: mirrors of what others write."""

from __future__ import annotations

from datetime import UTC

from suanmesh.accounting.v1 import ledger_pb2
from suanmesh.registry.v1 import site_pb2
from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_accounting.domain.ledger import Move, PlacementStatus
from suanmesh_kernel.clock import Clock
from suanmesh_store import Create, Mirror, Store, Update
from suanmesh_store.layout import LEDGER_MARKS, PLACEMENTS, TRANSFERS

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

    def signing_key(self, site: str) -> bytes | None:
        """The key registered at enrolment."""
        held = self._sites.get(site)
        return held.message.signing_key if held else None

    async def move_of(self, transfer: str) -> Move | None:
        """Read from etcd: a small transfer ends before any mirror has seen it."""
        held = await self._store.get(TRANSFERS, transfer)
        return Move(held.message.source, held.message.target, held.message.placement) if held else None

    async def standing(self, placement: str) -> PlacementStatus | None:
        """Read from etcd, so that a commit made a moment ago is seen."""
        held = await self._store.get(PLACEMENTS, placement)
        if held is None:
            return None
        message, terminal = held.message, held.message.state in TERMINAL
        end_time = message.end_time.ToDatetime(UTC) if message.HasField("end_time") else None
        deliveries = await self._deliveries(message) if terminal else frozenset()
        tasks = 0 if message.state in NEVER_RAN else max(1, message.work.count)
        return PlacementStatus(terminal, end_time, tasks, deliveries)

    async def _deliveries(self, placement: placement_pb2.Placement) -> frozenset[str]:
        """Transfers of its results whose usage is reported; one that has been archived is too old to be waited for."""
        made = [await self._store.get(TRANSFERS, name) for name in placement.output_transfers]
        return frozenset(held.name for held in made if held is not None and _reports(held.message))


class LedgerMarks:
    """`Marks`, in a document of accounting's own."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def led_before(self) -> str:
        """The ledger of the mark."""
        held = await self._store.get(LEDGER_MARKS, MARK)
        return held.message.ledger if held else ""

    async def lead(self, ledger: str) -> None:
        """Put the mark, or change it."""
        held = await self._store.get(LEDGER_MARKS, MARK)
        mark = ledger_pb2.LedgerMark(name=MARK, ledger=ledger)
        mark.lead_time.FromDatetime(self._clock.now())
        await self._store.commit(Create(LEDGER_MARKS, MARK, mark) if held is None else Update(held, mark))


def _reports(transfer: transfer_pb2.Transfer) -> bool:
    """Whether its target reports usage: it does of what somebody pays for and what came over the wire.

    Nothing came where the target had the dataset before (`REPLICA_PRESENT`), or the same bytes under another name.
    """
    done = transfer.state == transfer_pb2.Transfer.STATE_DONE
    return done and bool(transfer.account) and transfer.receipt.bytes_received > 0
