"""What the agent needs from outside: an executor, and the services behind the gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Protocol

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting_pb
from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.scheduler.v1 import scheduler_service_pb2 as scheduler_pb
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport_pb
from suanmesh_agent.domain.tasks import TaskKey, TaskLook, TaskSpec


class TaskNotStarted(RuntimeError):
    """The engine did not start a task; the text says why."""

    def __init__(self, words: str, *, by_job: bool = False) -> None:
        """`by_job` where the job's own paths are at fault: another site would do no better."""
        super().__init__(words)
        self.by_job = by_job


class Executor(Protocol):
    """Runs tasks on an engine of the site. Tasks outlive the agent: a new agent finds them by their key."""

    async def start(self, spec: TaskSpec) -> None:
        """Start the task; starting one that runs or has ended changes nothing. Raises TaskNotStarted."""

    def look(self, key: TaskKey) -> TaskLook:
        """How it stands now."""

    async def over(self, key: TaskKey) -> TaskLook:
        """Wait until it has ended or was lost; an absent one is over at once."""

    def stop(self, key: TaskKey) -> None:
        """Ask it to end; it is over with failure `CANCELLED` within a bounded time."""

    def output(self, key: TaskKey, mount: str) -> Path:
        """Folder on the host where the task's `mount` lies. Raises FolderError where the task made a link of it."""

    def read_log(self, key: TaskKey, offset: int, max_bytes: int) -> tuple[int, bytes]:
        """What it wrote from `offset` on, with the offset it begins at: later where the beginning was dropped."""

    def has_log(self, key: TaskKey) -> bool:
        """Whether anything is known of the task's log."""

    def forget_work(self, placement: str) -> None:
        """Drop the working folders of an ended placement; the logs stay.

        Raises OSError where something of them cannot be removed now; calling again goes on. Any thread may call it.
        """

    def idle_placements(self) -> list[str]:
        """Placements that have working folders, and no task that runs."""

    def ended_placements(self) -> list[str]:
        """Placements that only logs are kept of, the newest first."""

    def forget(self, placement: str) -> None:
        """Drop all that is kept of an ended placement, as `forget_work` does."""


class SchedulerPort(Protocol):
    """What the agent calls of `SchedulerService`."""

    def watch_placements(self, site: str) -> AsyncIterator[scheduler_pb.WatchPlacementsResponse]:
        """Batches of placements of the site until the stream breaks with a Refusal."""

    async def report_tasks(self, report: scheduler_pb.TaskReport) -> scheduler_pb.TaskReportResult:
        """Report one placement."""


class TransportPort(Protocol):
    """What the agent calls of `TransportService`."""

    def watch_transfers(self, site: str) -> AsyncIterator[transport_pb.WatchTransfersResponse]:
        """Batches of transfers towards the site until the stream breaks with a Refusal."""

    async def report_transfer(self, report: transport_pb.TransferReport) -> transport_pb.TransferResult:
        """Report one transfer."""

    async def create_dataset(self, request: transport_pb.CreateDatasetRequest) -> dataset_pb2.Dataset:
        """Publish a dataset whose replica lies here."""

    async def get_dataset(self, name: str) -> dataset_pb2.Dataset:
        """Look one up."""

    async def get_ticket_key(self) -> transport_pb.TicketKey:
        """The key tickets are signed with."""


class AccountingPort(Protocol):
    """What the agent calls of `AccountingService`."""

    async def record_usage(self, items: list[accounting_pb.UsageItem]) -> list[accounting_pb.UsageResult]:
        """Hand over signed usage, at most 1000 records."""

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
