"""What the agent needs from outside: an engine, and the services behind the gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from pathlib import Path
from typing import Protocol

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting_pb
from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler_pb
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport_pb
from suanmesh_agent.domain.cards import CardLook
from suanmesh_agent.domain.log_view import Times
from suanmesh_agent.domain.tasks import Capabilities, TaskEvent, TaskKey, TaskLook, TaskSpec
from suanmesh_content import LeftOut
from suanmesh_kernel.refusals import Refusal


class TaskNotStarted(RuntimeError):
    """The engine did not start a task; the text says why."""

    def __init__(self, words: str, *, by_job: bool = False, detail: str = "") -> None:
        """`by_job` where the job's own paths are at fault: another site would do no better.

        `detail` is for the site's own log alone.
        """
        super().__init__(words)
        self.by_job, self.detail = by_job, detail


class TaskLog(Protocol):
    """What one task wrote, kept within a bound."""

    def read(self, offset: int, bytes_max: int) -> tuple[int, bytes]:
        """What it wrote from `offset` on, with the offset it begins at: later where a part was dropped.

        Nothing where no more is there yet. May wait for a disk: called from a thread.
        """

    def times(self) -> Times:
        """When what is kept was written. May wait for a disk: called from a thread."""


class SourceFile(Protocol):
    """A file, link or empty folder on its way into a replica.

    A file can be opened until the next of its stream is asked for.
    """

    @property
    def path(self) -> str:
        """Relative to what it is a part of, with `/`."""

    @property
    def link(self) -> str:
        """Where a link leads, within what it is a part of; empty for no link."""

    @property
    def folder(self) -> bool:
        """Whether it is an empty folder."""

    @property
    def size_bytes(self) -> int:
        """How long it is."""

    @property
    def disk_bytes(self) -> int:
        """What it takes on disk: less where it has holes."""

    @property
    def executable(self) -> bool:
        """Whether it is a program."""

    def open(self) -> int:
        """A descriptor to read it by. Raises FolderError where it cannot be read."""

    def share(self, place: Path) -> bool:
        """Make it appear at `place` without a copy; False where only a copy is safe."""


class Cards(Protocol):
    """The accelerator cards of this host."""

    def look(self) -> tuple[CardLook, ...]:
        """How each of them stands now: all there were at the start, always in the same order. Takes milliseconds."""


class Engine(Protocol):
    """Runs tasks on an engine of the site, many at a time. Tasks outlive the agent: a new agent finds them by key.

    What is asynchronous belongs to the event loop; all else may wait for a disk, and any thread may call it.
    """

    @property
    def start_fault(self) -> str:
        """Why the last task could not be started, where that was the site's fault; empty when it could."""

    def capabilities(self) -> Capabilities:
        """What it can do for tasks."""

    def cards(self) -> tuple[CardLook, ...]:
        """How the accelerator cards stand that it gives to tasks; of a site that declares its cards, none."""

    async def submit(self, specs: Sequence[TaskSpec]) -> list[TaskNotStarted | None]:
        """Start tasks; of each, in order, why it did not start. One that runs or has ended is left as it is."""

    def watch(self, placement: str) -> AsyncGenerator[list[TaskEvent], None]:
        """First how every task of the placement stands that was ever started here, then what becomes of each.

        A slow watcher is told the last of each task only. Close it to end it.
        """

    async def inspect(self, keys: Sequence[TaskKey]) -> list[TaskLook]:
        """How they stand now, in order."""

    async def cancel(self, keys: Sequence[TaskKey]) -> None:
        """Ask those that run to end; each is over with failure `CANCELLED` within a bounded time."""

    def open_log(self, key: TaskKey) -> TaskLog | None:
        """What the task wrote, while it runs and after; None where it has never been started here."""

    def collect(self, key: TaskKey, mount: str, left_out: LeftOut | None = None) -> Generator[SourceFile, None, None]:
        """What an ended task left at `mount`; what is no data is noted in `left_out`.

        Raises FolderError where there is no folder, one with more in it than is looked at, or with no `left_out` one
        that holds what is no data.
        """

    def note(self, key: TaskKey, lines: Sequence[str]) -> None:
        """Add lines to the log of an ended task, unless it ends with them already."""

    def forget_work(self, placement: str) -> None:
        """Drop the outputs of an ended placement; the logs stay.

        Raises OSError where something of them cannot be removed now; calling again goes on.
        """

    def drop_work(self, keys: Sequence[TaskKey]) -> None:
        """Drop the outputs of single runs that have ended, as `forget_work` does."""

    def forget(self, placement: str) -> None:
        """Drop all that is kept of an ended placement, as `forget_work` does."""

    def idle_placements(self) -> list[str]:
        """Placements that outputs are kept of, and no task runs of."""

    def ended_placements(self) -> list[str]:
        """Placements that only logs are kept of, the newest first."""


class SchedulerPort(Protocol):
    """What the agent calls of `SchedulerService`."""

    def watch_placements(self, site: str) -> AsyncIterator[scheduler_pb.WatchPlacementsResponse]:
        """Batches of placements of the site until the stream breaks with a Refusal."""

    async def report_tasks(self, report: scheduler_pb.TaskReport) -> scheduler_pb.TaskReportResult:
        """Report one placement."""

    async def fetch_secrets(self, request: scheduler_pb.FetchSecretsRequest) -> scheduler_pb.FetchSecretsResponse:
        """The secrets of a placement, sealed for the key of the request."""


class TransportPort(Protocol):
    """What the agent calls of `TransportService`."""

    def watch_transfers(self, site: str) -> AsyncIterator[transport_pb.WatchTransfersResponse]:
        """Batches of transfers towards the site until the stream breaks with a Refusal."""

    async def report_transfer(self, report: transport_pb.TransferReport) -> transport_pb.TransferResult:
        """Report one transfer."""

    async def create_dataset(self, ask: transport_pb.DatasetAsk) -> dataset_pb2.Dataset:
        """Publish a dataset whose replica lies here."""

    async def get_dataset(self, name: str) -> dataset_pb2.Dataset:
        """Look one up."""

    async def unnamed(self, site: str, digests: Sequence[str]) -> list[str]:
        """Those of the contents at the site that no dataset has there any more."""

    async def get_ticket_key(self) -> transport_pb.TicketKey:
        """The key tickets are signed with."""


class AccountingPort(Protocol):
    """What the agent calls of `AccountingService`."""

    async def record_usage(self, request: accounting_pb.RecordUsageRequest) -> list[Refusal | None]:
        """Hand over a signed batch of at most 1000 records; why each was refused, None for one that is stored."""

    async def metering_state(self, epoch: str, works: list[str]) -> accounting_pb.MeteringState:
        """What is stored of this site's meter: the last record, and what was metered of at most 100 works."""


class DataPath(Protocol):
    """How bytes come from another site."""

    async def manifest(self, transfer: transfer_pb2.Transfer) -> dataset_pb2.Manifest:
        """The manifest of the transfer's dataset as its source has it."""

    def fetch(
        self, transfer: transfer_pb2.Transfer, ranges: list[agent_pb.ChunkRange]
    ) -> AsyncGenerator[agent_pb.FetchChunksResponse, None]:
        """The ranges in order, each in pieces; closing it breaks the request off."""
