"""Services on paper, for tests: what the agent calls, kept in memory, with whoever follows it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from google.protobuf.message import DecodeError

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting_pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler_pb
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport_pb
from suanmesh.type.v1 import signed_pb2
from suanmesh_kernel.refusals import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Refusal, Unavailable
from suanmesh_sdk import sealing
from suanmesh_sdk.status import status_of

State = placement_pb2.Placement
_ENDED = (State.STATE_DONE, State.STATE_FAILED, State.STATE_REFUSED, State.STATE_CANCELLED, State.STATE_LOST)
_TAKEN_BACK = (State.STATE_DELIVERING, State.STATE_FAILED)


class Board:
    """Documents by name, with whoever follows them."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.cut = asyncio.Event()

    def tell(self) -> None:
        """Something on it has changed."""
        self.changed.set()
        self.changed = asyncio.Event()


class FakeScheduler:
    """`SchedulerPort`: keeps the placements a test writes, and what was reported."""

    def __init__(self) -> None:
        self.placements: dict[str, placement_pb2.Placement] = {}
        self.reports: list[scheduler_pb.TaskReport] = []
        self.down = False
        self.secrets: dict[str, bytes] = {}
        """By name, of every placement."""
        self._board = Board()

    async def fetch_secrets(self, request: scheduler_pb.FetchSecretsRequest) -> scheduler_pb.FetchSecretsResponse:
        """Those that the placement names, sealed for the request's key."""
        if self.down:
            raise Unavailable("NOT_READY", "the scheduler is away")
        placement, answer = self.placements[request.placement], scheduler_pb.FetchSecretsResponse()
        for secret in placement.work.secrets:
            if secret.name not in self.secrets:
                raise FailedPrecondition("SECRETS_MISSING", f"no {secret.name}", names=secret.name)
            purpose = sealing.for_placement(placement.name, placement.site, secret.name)
            text = sealing.sealed(self.secrets[secret.name], request.public_key, purpose)
            answer.secrets.add(name=secret.name, sealed=text)
        return answer

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
        """All that have not ended or would be taken back, then everything at every change."""
        first = True
        while True:
            changed = self._board.changed
            if self.down:
                raise Unavailable("NOT_READY", "the scheduler is away")
            of_site = [p for p in self.placements.values() if p.site == site]
            shown = [p for p in of_site if not first or p.state not in _ENDED or _may_return(p)]
            yield scheduler_pb.WatchPlacementsResponse(placements=shown, snapshot=first)
            first = False
            await changed.wait()

    async def report_tasks(self, report: scheduler_pb.TaskReport) -> scheduler_pb.TaskReportResult:
        """Take a report, unless the placement has ended for good."""
        if self.down:
            raise Unavailable("NOT_READY", "the scheduler is away")
        placement = self.placements[report.placement]
        taken_back = _may_return(placement) and report.state in _TAKEN_BACK
        if placement.state in _ENDED and placement.state != report.state and not taken_back:
            name = State.State.Name(placement.state).removeprefix("STATE_")
            refusal = FailedPrecondition("TRANSITION_NOT_ALLOWED", f"{placement.name} is {name}", state=name)
            return scheduler_pb.TaskReportResult(error=status_of(refusal, area="scheduler"))
        self.reports.append(report)
        placement.state = report.state
        self._board.tell()
        return scheduler_pb.TaskReportResult(placement=placement)


def _may_return(placement: placement_pb2.Placement) -> bool:
    return placement.state == State.STATE_LOST and not placement.replaced_by


class FakeTransport:
    """`TransportPort`: keeps datasets and transfers."""

    def __init__(self) -> None:
        self.datasets: dict[str, dataset_pb2.Dataset] = {}
        self.transfers: dict[str, transfer_pb2.Transfer] = {}
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
        transfer.state_reason.CopyFrom(report.reason)
        transfer.progress.CopyFrom(report.progress)
        transfer.receipt.CopyFrom(report.receipt)
        self._board.tell()
        return transport_pb.TransferResult(transfer=transfer)

    async def create_dataset(self, ask: transport_pb.DatasetAsk) -> dataset_pb2.Dataset:
        """Name a dataset; the name is taken where it has other content."""
        if self.defect:
            raise self.defect
        name = f"datasets/{ask.dataset_id}"
        held = self.datasets.get(name)
        if held is not None and held.digest != ask.dataset.digest:
            raise AlreadyExists("DATASET_EXISTS", f"{name} has other content", name=name)
        stored = dataset_pb2.Dataset()
        stored.CopyFrom(ask.dataset)
        stored.name = name
        self.datasets[name] = stored
        return stored

    async def get_dataset(self, name: str) -> dataset_pb2.Dataset:
        """Look one up."""
        if name not in self.datasets:
            raise NotFound("DATASET_UNKNOWN", f"no dataset {name}", name=name)
        return self.datasets[name]

    async def unnamed(self, site: str, digests: Sequence[str]) -> list[str]:
        """Those that no dataset has."""
        named = {dataset.digest for dataset in self.datasets.values()}
        return [digest for digest in digests if digest not in named]

    async def get_ticket_key(self) -> transport_pb.TicketKey:
        """The key a test signs tickets with."""
        self.ticket_keys_asked += 1
        return self.ticket_key


class FakeAccounting:
    """`AccountingPort`: keeps what was handed over, once for each epoch and sequence number."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, int], usage_pb2.UsageRecord] = {}
        self.calls = 0
        self.taken = 0
        """How often a record was taken; more than there are records where one came again."""
        self.down = False
        self.defects: list[Exception] = []
        """Raised by the next calls, one each."""
        self.good_key = ""
        """The one key whose batches are taken; empty for any."""
        self.refused = asyncio.Event()
        """Set once a batch came with another."""
        self._board = Board()

    @property
    def records(self) -> dict[int, usage_pb2.UsageRecord]:
        """What is stored by sequence number, of the newest epoch that has it."""
        return {sequence: record for (_, sequence), record in self.stored.items()}

    async def record_usage(self, request: accounting_pb.RecordUsageRequest) -> list[Refusal | None]:
        """Take records; one that stands with other content, or cannot be read, is refused."""
        self.calls += 1
        if self.down:
            raise Unavailable("NOT_READY", "accounting is away")
        if self.defects:
            raise self.defects.pop()
        if self.good_key not in ("", request.batch.key_id):
            self.refused.set()
            raise FailedPrecondition("USAGE_KEY_LAPSED", "its key has lapsed", key_id=request.batch.key_id)
        refusals = [self._refusal_of(raw) for raw in request.records]
        self._board.tell()
        return refusals

    def _refusal_of(self, raw: bytes) -> Refusal | None:
        try:
            record = usage_pb2.UsageRecord.FromString(raw)
        except DecodeError:
            return InvalidArgument("FIELD_INVALID", "the record cannot be parsed", field="records")
        standing = self.stored.setdefault((record.epoch, record.sequence), record)
        if standing != record:
            return AlreadyExists("USAGE_CONFLICT", "another record stands", name=str(record.sequence))
        self.taken += 1
        return None

    async def metering_state(self, epoch: str, works: list[str]) -> accounting_pb.MeteringState:
        """The last record, and what was metered of `works`."""
        if self.down:
            raise Unavailable("NOT_READY", "accounting is away")
        state = accounting_pb.MeteringState(
            last_epoch=next(reversed(self.stored), ("", 0))[0],
            last_sequence=max((sequence for kept, sequence in self.stored if kept == epoch), default=0),
        )
        for record in self.stored.values():
            work = record.transfer or record.placement
            if work in works:
                state.works.add(work=work, task=record.task, end_time=record.end_time, final=record.final)
                state.works[-1].readings.extend(record.readings)
        merged = _merged(state.works)
        del state.works[:]
        state.works.extend(merged)
        return state

    async def has(self, wanted: Callable[[usage_pb2.UsageRecord], bool]) -> usage_pb2.UsageRecord:
        """Wait for a record."""
        while True:
            changed = self._board.changed
            for record in self.records.values():
                if wanted(record):
                    return record
            await changed.wait()


def _merged(works: Iterable[accounting_pb.MeteredWork]) -> list[accounting_pb.MeteredWork]:
    """One entry for each task: sums, the latest end, whether any was final."""
    found: dict[tuple[str, int], accounting_pb.MeteredWork] = {}
    for work in works:
        total = found.setdefault((work.work, work.task), accounting_pb.MeteredWork(work=work.work, task=work.task))
        sums = Counter({reading.meter: reading.quantity for reading in total.readings})
        sums.update({reading.meter: reading.quantity for reading in work.readings})
        del total.readings[:]
        total.readings.extend(usage_pb2.MeterReading(meter=meter, quantity=sums[meter]) for meter in sums)
        total.final = total.final or work.final
        if work.end_time.ToNanoseconds() > total.end_time.ToNanoseconds():
            total.end_time.CopyFrom(work.end_time)
    return list(found.values())


class PlainSigner:
    """Signs with nothing, for tests that do not look at signatures."""

    def __init__(self, key_id: str = "") -> None:
        self.key_id = key_id

    def sign(self, payload_type: str, payload: bytes) -> signed_pb2.Signed:
        """The payload, unsigned."""
        return signed_pb2.Signed(payload_type=payload_type, payload=payload, key_id=self.key_id)
