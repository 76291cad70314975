"""Stand-ins for what the agent calls: services kept on paper, a data path within one process; and a site among them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting_pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler_pb
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport_pb
from suanmesh.type.v1 import signed_pb2
from suanmesh_agent.data_plane import Reader
from suanmesh_agent.delivery import Delivery
from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.domain.tickets import Ticket
from suanmesh_agent.domain.work import Admission
from suanmesh_agent.executors.process import ProcessExecutor
from suanmesh_agent.journal import Journal
from suanmesh_agent.meter import Meter
from suanmesh_agent.permission import RunPermission
from suanmesh_agent.placements import Placements, taken_capacity
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.staging import Staging
from suanmesh_agent.steps import Steps
from suanmesh_agent.turns import Turns
from suanmesh_content import Chunk, manifest_to
from suanmesh_kernel.clock import SystemClock, seeded_rng
from suanmesh_kernel.quantities import Capacity
from suanmesh_kernel.refusals import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Refusal, Unavailable
from suanmesh_sdk.status import status_of

State = placement_pb2.Placement
OWN_PARTY = "parties/acme"
"""Whose site it is: its tasks run without a sandbox."""
_ENDED = (State.STATE_DONE, State.STATE_FAILED, State.STATE_REFUSED, State.STATE_CANCELLED, State.STATE_LOST)


class Board:
    """Documents by name, with whoever follows them."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.cut = asyncio.Event()

    def tell(self) -> None:
        """Something on it has changed."""
        self.changed.set()
        self.changed = asyncio.Event()


class PaperScheduler:
    """`SchedulerPort`: keeps the placements a test writes, and what was reported."""

    def __init__(self) -> None:
        self.placements: dict[str, placement_pb2.Placement] = {}
        self.reports: list[scheduler_pb.TaskReport] = []
        self.down = False
        self._board = Board()

    def put(self, placement: placement_pb2.Placement) -> None:
        """Write a placement."""
        self.placements[placement.name] = placement
        self._board.tell()

    def request_stop(self, name: str) -> None:
        """Ask for the end of a placement."""
        self.placements[name].stop_requested = True
        self._board.tell()

    def end(self, name: str, state: State.State.ValueType) -> None:
        """Put a placement down as ended."""
        self.placements[name].state = state
        self._board.tell()

    async def reported(self, name: str, state: State.State.ValueType) -> scheduler_pb.TaskReport:
        """Wait for the report that brings the placement to `state`."""
        while True:
            changed = self._board.changed
            for report in self.reports:
                if (report.placement, report.state) == (name, state):
                    return report
            await changed.wait()

    async def watch_placements(self, site: str) -> AsyncIterator[scheduler_pb.WatchPlacementsResponse]:
        """All that have not ended, then everything at every change."""
        first = True
        while True:
            changed = self._board.changed
            if self.down:
                raise Unavailable("NOT_READY", "the scheduler is away")
            shown = [p for p in self.placements.values() if p.site == site and not (first and p.state in _ENDED)]
            yield scheduler_pb.WatchPlacementsResponse(placements=shown, snapshot=first)
            first = False
            await changed.wait()

    async def report_tasks(self, report: scheduler_pb.TaskReport) -> scheduler_pb.TaskReportResult:
        """Take a report, unless the placement has ended."""
        if self.down:
            raise Unavailable("NOT_READY", "the scheduler is away")
        placement = self.placements[report.placement]
        if placement.state in _ENDED and placement.state != report.state:
            name = State.State.Name(placement.state).removeprefix("STATE_")
            refusal = FailedPrecondition("TRANSITION_NOT_ALLOWED", f"{placement.name} is {name}", state=name)
            return scheduler_pb.TaskReportResult(error=status_of(refusal, area="scheduler"))
        self.reports.append(report)
        placement.state = report.state
        self._board.tell()
        return scheduler_pb.TaskReportResult(placement=placement)


class PaperTransport:
    """`TransportPort`: keeps datasets and transfers."""

    def __init__(self) -> None:
        self.datasets: dict[str, dataset_pb2.Dataset] = {}
        self.transfers: dict[str, transfer_pb2.Transfer] = {}
        self._bodies: dict[str, bytes] = {}
        self.reports: list[transport_pb.TransferReport] = []
        self.ticket_key = transport_pb.TicketKey()
        self.ticket_keys_asked = 0
        self.defect: Exception | None = None
        """Raised by who publishes, as a line of ours would that does not know what to do."""
        self._board = Board()

    def put(self, transfer: transfer_pb2.Transfer) -> None:
        """Write a transfer."""
        self.transfers[transfer.name] = transfer
        self._board.tell()

    async def ended(self, name: str) -> transfer_pb2.Transfer:
        """Wait for the end of a transfer."""
        while True:
            changed = self._board.changed
            if self.transfers[name].state in (transfer_pb2.Transfer.STATE_DONE, transfer_pb2.Transfer.STATE_FAILED):
                return self.transfers[name]
            await changed.wait()

    async def progressed(self, name: str, chunks: int) -> None:
        """Wait until a report says that so many chunks are there."""
        while True:
            changed = self._board.changed
            if self.transfers[name].progress.chunks_done >= chunks:
                return
            await changed.wait()

    async def watch_transfers(self, site: str) -> AsyncIterator[transport_pb.WatchTransfersResponse]:
        """All that have not ended, then everything at every change."""
        first = True
        while True:
            changed = self._board.changed
            shown = [t for t in self.transfers.values() if t.target == site]
            yield transport_pb.WatchTransfersResponse(transfers=shown, snapshot=first)
            first = False
            await changed.wait()

    async def report_transfer(self, report: transport_pb.TransferReport) -> transport_pb.TransferResult:
        """Take a report."""
        transfer = self.transfers[report.transfer]
        self.reports.append(report)
        transfer.state = report.state
        transfer.state_reason = report.reason
        transfer.progress.CopyFrom(report.progress)
        transfer.receipt.CopyFrom(report.receipt)
        self._board.tell()
        return transport_pb.TransferResult(transfer=transfer)

    async def create_dataset(self, request: transport_pb.CreateDatasetRequest) -> dataset_pb2.Dataset:
        """Name a dataset; the name is taken where it has other content, the request id where it had another body."""
        if self.defect:
            raise self.defect
        body = request.SerializeToString()
        if request.request_id and self._bodies.setdefault(request.request_id, body) != body:
            raise InvalidArgument("REQUEST_ID_REUSED", "the id was used before with another body", field="request_id")
        name = f"datasets/{request.dataset_id}"
        held = self.datasets.get(name)
        if held is not None and held.digest != request.dataset.digest:
            raise AlreadyExists("DATASET_EXISTS", f"{name} has other content", name=name)
        stored = dataset_pb2.Dataset()
        stored.CopyFrom(request.dataset)
        stored.name = name
        self.datasets[name] = stored
        return stored

    async def get_dataset(self, name: str) -> dataset_pb2.Dataset:
        """Look one up."""
        if name not in self.datasets:
            raise NotFound("DATASET_UNKNOWN", f"no dataset {name}", name=name)
        return self.datasets[name]

    async def get_ticket_key(self) -> transport_pb.TicketKey:
        """The key a test signs tickets with."""
        self.ticket_keys_asked += 1
        return self.ticket_key


class PaperAccounting:
    """`AccountingPort`: keeps what was handed over, once for each sequence number."""

    def __init__(self) -> None:
        self.records: dict[int, usage_pb2.UsageRecord] = {}
        self.calls = 0
        self.taken = 0
        """How often a record was taken; more than there are records where one came again."""
        self.down = False
        self.defects: list[Exception] = []
        """Raised by the next calls, one each."""
        self._board = Board()

    async def record_usage(self, items: list[accounting_pb.UsageItem]) -> list[accounting_pb.UsageResult]:
        """Take records."""
        self.calls += 1
        if self.down:
            raise Unavailable("NOT_READY", "accounting is away")
        if self.defects:
            raise self.defects.pop()
        for item in items:
            record = usage_pb2.UsageRecord.FromString(item.record.payload)
            self.records[record.sequence] = record
            self.taken += 1
        self._board.tell()
        return [accounting_pb.UsageResult(charges=accounting_pb.UsageCharges()) for _ in items]

    async def has(self, wanted: Callable[[usage_pb2.UsageRecord], bool]) -> usage_pb2.UsageRecord:
        """Wait for a record."""
        while True:
            changed = self._board.changed
            for record in self.records.values():
                if wanted(record):
                    return record
            await changed.wait()


class PlainSigner:
    """Signs with nothing, for tests that do not look at signatures."""

    def sign(self, payload_type: str, payload: bytes) -> signed_pb2.Signed:
        """The payload, unsigned."""
        return signed_pb2.Signed(payload_type=payload_type, payload=payload)


class NearDataPath:
    """`DataPath` to another site's replicas in the same process; `fault` may change or refuse what it gives."""

    def __init__(self, source: Reader) -> None:
        self._source = source
        self.fault: Callable[[agent_pb.FetchChunksResponse], agent_pb.FetchChunksResponse] | None = None
        self.chunks_sent = 0
        self.away: Refusal | None = None

    async def manifest(self, transfer: transfer_pb2.Transfer) -> dataset_pb2.Manifest:
        """The manifest at the source."""
        if self.away:
            raise self.away
        return manifest_to(self._source.manifest(self._ticket(transfer)))

    async def fetch(
        self, transfer: transfer_pb2.Transfer, ranges: list[agent_pb.ChunkRange]
    ) -> AsyncGenerator[agent_pb.FetchChunksResponse, None]:
        """The ranges."""
        wanted = [Chunk(i, each.file, each.offset, each.bytes) for i, each in enumerate(ranges)]
        async for piece in self._source.read(self._ticket(transfer), wanted):
            if self.away:
                raise self.away
            self.chunks_sent += bool(piece.digest)
            answer = agent_pb.FetchChunksResponse(range=piece.chunk.index, content=piece.content, digest=piece.digest)
            yield self.fault(answer) if self.fault else answer

    def _ticket(self, transfer: transfer_pb2.Transfer) -> Ticket:
        return Ticket(
            transfer=transfer.name,
            dataset=transfer.dataset,
            digest=transfer.digest,
            source=transfer.source,
            reader="",
            expire_time=datetime(9999, 1, 1, tzinfo=UTC),
            rate_bps=transfer.rate_bps,
        )


@dataclass
class PaperOffers:
    """Two cores, and what of them the journal says is taken."""

    journal: Journal
    engines: tuple[str, ...] = ("python3",)
    capacity: Capacity = field(default_factory=lambda: Capacity(2000, 2**30, 2**30))
    admission: Admission = field(default_factory=lambda: Admission(walled=False, own_party=OWN_PARTY))

    def taken(self, *, but: str = "") -> Capacity:
        """What the placements held here take together, `but` one."""
        return taken_capacity(self.journal, but=but)


class PaperSite:
    """The site `sites/a`: a real agent over a folder, with services on paper."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scheduler = PaperScheduler()
        self.transport = PaperTransport()
        self.accounting = PaperAccounting()
        self.run_for_s = 3600.0
        """What an agent is permitted at its start."""

    @asynccontextmanager
    async def agent(self, kind: type[Journal] = Journal) -> AsyncIterator[Journal]:
        """An agent's life over the folder; leaving it is as sudden as a kill."""
        site, clock, journal = "sites/a", SystemClock(), kind(self.folder / "agent.db")
        self.permission = RunPermission(self.folder / "permission", clock)
        self.permission.renew(clock.monotonic(), self.run_for_s)
        self.replicas = Replicas(self.folder)
        self.executor = ProcessExecutor(
            self.folder / "tasks",
            sandbox=None,
            cgroups=None,
            engine_path=(Path(sys.prefix) / "bin",),
            permission=self.permission.path,
        )
        meter = Meter(site, journal, self.accounting, PlainSigner(), clock, seeded_rng(1))
        self.delivery = Delivery(site, self.transport, self.executor, journal, self.replicas, Turns())
        steps = Steps(
            offers=PaperOffers(journal),
            scheduler=self.scheduler,
            executor=self.executor,
            staging=Staging(self.transport, journal, self.replicas),
            delivery=self.delivery,
            meter=meter,
            meter_every_s=0.2,
            permission=self.permission,
        )
        placements = Placements(
            site, scheduler=self.scheduler, journal=journal, executor=self.executor, steps=steps, clock=clock
        )
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            lives = [tasks.create_task(placements.run()), tasks.create_task(meter.run())]
            try:
                yield journal
            finally:
                for life in lives:
                    life.cancel()
        self.permission.close()
        journal.close()

    async def killed_at(self, stage: Stage) -> None:
        """An agent's life until it has written down `stage`."""
        reached = asyncio.Event()

        class Mortal(Journal):
            def go_on(self, name: str, then: Stage) -> None:
                super().go_on(name, then)
                if then is stage:
                    reached.set()
                    raise asyncio.CancelledError

        async with self.agent(Mortal):
            await reached.wait()

    async def cleared_up(self) -> None:
        """Wait until no working folder is left."""
        while self.executor.idle_placements():  # noqa: ASYNC110 - a folder, removed by a thread
            await asyncio.sleep(0.01)


def a_placement(code: str, name: str = "placements/p1", **fields: object) -> placement_pb2.Placement:
    """A committed placement of one Python task with the output `out`; `fields` are those of its work."""
    placement = placement_pb2.Placement(
        name=name, job="jobs/j1", site="sites/a", state=State.STATE_COMMITTED, party=OWN_PARTY, attempt=1
    )
    work = placement.work
    work.ask.cpu_milli, work.ask.memory_bytes = 1000, 2**28
    work.variant.engine = "python3"
    work.variant.command.extend(["python3", "-c", code])
    work.outputs.add(output_id="result", mount="out")
    work.count, work.max_duration_s = 1, 60
    for key, value in fields.items():
        setattr(work, key, value)
    return placement


def write_numbers(folder: Path, files: int, size_bytes: int) -> Path:
    """A folder of files that differ, the same for the same numbers."""
    folder.mkdir(parents=True)
    for number in range(files):
        block = (number.to_bytes(4, "big") * 256)[:1024]
        pieces = (block[4:] + index.to_bytes(4, "big") for index in range(size_bytes // 1024 + 1))
        (folder / f"file-{number}").write_bytes(b"".join(pieces)[:size_bytes])
    return folder
