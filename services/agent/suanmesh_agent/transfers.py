"""The transfers towards this site: each is pulled, verified, metered and reported, through restarts of either end."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from suanmesh.transport.v1 import transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh_agent.domain.pacing import chunk_bytes
from suanmesh_agent.following import Pauses, follow
from suanmesh_agent.journal import Journal, TransferMark
from suanmesh_agent.meter import Meter
from suanmesh_agent.ports import DataPath, TransportPort
from suanmesh_agent.pulling import Pull, PullFailed
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.turns import Turns
from suanmesh_chassis import FailureBackoff
from suanmesh_content import plan_chunks
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.state_reasons import reason_to
from suanmesh_sdk.status import refusal_of
from suanmesh_telemetry import names, span

log = structlog.get_logger()

AT_A_TIME = 4
PROGRESS_EVERY_S = 1.0
_SNAPSHOT = "snapshot"
_ENDED = (
    transfer_pb2.Transfer.STATE_DONE,
    transfer_pb2.Transfer.STATE_FAILED,
    transfer_pb2.Transfer.STATE_CANCELLED,
)
_STANDING_REFUSALS = ("NOT_FOUND", "PERMISSION_DENIED", "FAILED_PRECONDITION", "DATA_LOSS", "INVALID_ARGUMENT")


class Transfers:
    """Carries every transfer towards the site to its end."""

    def __init__(
        self,
        site: str,
        *,
        transport: TransportPort,
        data_path: DataPath,
        journal: Journal,
        replicas: Replicas,
        meter: Meter,
        clock: Clock,
        turns: Turns,
        patience_s: float,
        progress_every_s: float = PROGRESS_EVERY_S,
    ) -> None:
        self._site = site
        self._transport = transport
        self._data_path = data_path
        self._journal = journal
        self._replicas = replicas
        self._meter = meter
        self._clock = clock
        self._turns = turns
        self._patience_s = patience_s
        self._progress_every_s = progress_every_s
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._carried: dict[str, asyncio.Task[None]] = {}
        self._ending: set[str] = set()
        self._carrying = FailureBackoff("carry transfer", clock)
        self._taking = FailureBackoff("take transfer", clock)
        self._forgetting = FailureBackoff("forget transfer", clock)

    async def run(self) -> None:
        """Follow the mesh for good."""
        async with asyncio.TaskGroup() as tasks:

            async def take(batch: pb.WatchTransfersResponse) -> None:
                if batch.snapshot:
                    shown = {transfer.name for transfer in batch.transfers}
                    await self._taking.run(_SNAPSHOT, partial(self._drop_missing, shown, tasks))
                for transfer in batch.transfers:
                    await self._taking.run(transfer.name, partial(self._look_at, transfer, tasks))

            await follow("WatchTransfers", lambda: self._transport.watch_transfers(self._site), take)

    @property
    def under_way(self) -> set[str]:
        """The folders that something is coming into now."""
        return {name.rpartition("/")[2] for name in self._carried}

    async def _look_at(self, transfer: transfer_pb2.Transfer, tasks: asyncio.TaskGroup) -> None:
        if transfer.state in _ENDED:
            self._drop(transfer.name, tasks)
        elif transfer.name not in self._carried:
            carried = tasks.create_task(self._to_the_end(transfer))
            self._carried[transfer.name] = carried
            carried.add_done_callback(lambda _: self._carried.pop(transfer.name, None))

    async def _drop_missing(self, standing: set[str], tasks: asyncio.TaskGroup) -> None:
        for name in self._carried.keys() - standing:
            self._drop(name, tasks)

    def _drop(self, name: str, tasks: asyncio.TaskGroup) -> None:
        """The mesh has put the transfer down as ended: nothing of it is needed any more."""
        carried = self._carried.get(name)
        if carried is not None and name not in self._ending:
            carried.cancel()
        tasks.create_task(self._forgetting.until_done(name, partial(self._forget, name)))

    async def _forget(self, name: str) -> None:
        await self._journal.commit(partial(self._journal.forget_transfer, name))
        await asyncio.to_thread(self._replicas.discard, name.rpartition("/")[2])

    async def _to_the_end(self, transfer: transfer_pb2.Transfer) -> None:
        """Carry a transfer; a defect of ours on its way fails it, and nothing else."""
        await self._carrying.until_done(transfer.name, partial(self._carry, transfer), partial(self._fail, transfer))

    async def _fail(self, transfer: transfer_pb2.Transfer, defect: Exception) -> None:
        await self._end(_failed(transfer, StateReason("AGENT_DEFECT", {"defect": type(defect).__name__})))

    async def _carry(self, transfer: transfer_pb2.Transfer) -> None:
        async with self._slots:
            with span(
                names.MOVE_DATASET,
                parent=transfer.traceparent,
                transfer=transfer.name,
                dataset=transfer.dataset,
                bytes=transfer.bytes,
                rate_bps=transfer.rate_bps,
                site=self._site,
            ):
                try:
                    report = await self._brought(transfer)
                except PullFailed as failure:
                    log.warning("transfer failed", transfer=transfer.name, message=str(failure))
                    report = _failed(transfer, failure.reason)
                await self._end(report)

    async def _end(self, report: pb.TransferReport) -> None:
        """Report an end, which the mesh's own word that it has ended must not cut short."""
        self._ending.add(report.transfer)
        try:
            await self._report(report)
        finally:
            self._ending.discard(report.transfer)

    async def _brought(self, transfer: transfer_pb2.Transfer) -> pb.TransferReport:
        await self._journal.commit(partial(self._journal.begin_transfer, transfer.name, self._now_ns()))
        moved = not self._replicas.has(transfer.digest)
        if moved:
            await self._pull(transfer)
        moved = moved or self._journal.transfer(transfer.name).bytes_received > 0
        mark = await self._write_down(transfer, moved=moved)
        manifest = self._replicas.manifest(transfer.digest)
        chunks = len(plan_chunks(manifest, chunk_bytes(transfer.rate_bps)))
        receipt = transfer_pb2.Receipt(
            digest=manifest.digest,
            bytes_received=mark.bytes_received,
            elapsed_ms=(mark.end_ns - mark.start_ns) // 1_000_000,
            chunks_again=mark.chunks_again,
        )
        progress = transfer_pb2.Progress(
            bytes_done=manifest.size_bytes, chunks_done=chunks, chunks=chunks, chunks_again=mark.chunks_again
        )
        return pb.TransferReport(
            transfer=transfer.name, state=transfer_pb2.Transfer.STATE_DONE, receipt=receipt, progress=progress
        )

    async def _pull(self, transfer: transfer_pb2.Transfer) -> None:
        pull = Pull(
            transfer,
            data_path=self._data_path,
            journal=self._journal,
            replicas=self._replicas,
            clock=self._clock,
            turns=self._turns,
            patience_s=self._patience_s,
        )
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(self._tell_progress(transfer, pull))
            try:
                await pull.to_the_end()
            except PullFailed as failure:
                failed: PullFailed | None = failure
            else:
                failed = None
            telling.cancel()
        if failed:
            raise failed

    async def _write_down(self, transfer: transfer_pb2.Transfer, *, moved: bool) -> TransferMark:
        """The end, the name of the replica, and what it cost; repeating it after a crash changes nothing.

        The mesh's own word that the transfer has ended must not cut it short.
        """
        self._ending.add(transfer.name)
        try:
            marks: list[TransferMark] = []
            await self._journal.commit(lambda: marks.append(self._write_end(transfer, moved=moved)))
        finally:
            self._ending.discard(transfer.name)
        self._meter.send_at_once()
        self._replicas.announce()
        return marks[0]

    def _write_end(self, transfer: transfer_pb2.Transfer, *, moved: bool) -> TransferMark:
        self._journal.begin_transfer(transfer.name, self._now_ns())
        self._journal.end_transfer(transfer.name, self._now_ns())
        self._journal.name_dataset(transfer.dataset, transfer.digest)
        mark = self._journal.transfer(transfer.name)
        if moved and transfer.account:
            self._meter.write_transfer(
                transfer.placement,
                transfer.name,
                transfer.bytes,
                (mark.start_ns, mark.end_ns),
                traceparent=transfer.traceparent,
            )
        return mark

    async def _tell_progress(self, transfer: transfer_pb2.Transfer, pull: Pull) -> None:
        """Say how far it is, now and then; an unheard word is said again with the next."""
        while True:
            mark = self._journal.transfer(transfer.name)
            progress = transfer_pb2.Progress(
                bytes_done=pull.bytes_done,
                chunks_done=pull.chunks_done,
                chunks=pull.chunks,
                chunks_again=mark.chunks_again,
            )
            report = pb.TransferReport(
                transfer=transfer.name, state=transfer_pb2.Transfer.STATE_ACTIVE, progress=progress
            )
            try:
                await self._transport.report_transfer(report)
            except Refusal as refusal:
                log.info("progress not told", transfer=transfer.name, reason=refusal.reason)
            await asyncio.sleep(self._progress_every_s)

    async def _report(self, report: pb.TransferReport) -> None:
        """Report an end until it has been taken, or refused for good."""
        pauses = Pauses()
        while True:
            try:
                result = await self._transport.report_transfer(report)
                refusal = refusal_of(result.error) if result.HasField("error") else None
            except Refusal as not_taken:
                refusal = not_taken
            if refusal is None:
                return
            if refusal.code in _STANDING_REFUSALS:
                log.warning("report refused", transfer=report.transfer, reason=refusal.reason, message=refusal.message)
                return
            await pauses.wait()

    def _now_ns(self) -> int:
        return int(self._clock.now().timestamp() * 1e9)


def _failed(transfer: transfer_pb2.Transfer, reason: StateReason) -> pb.TransferReport:
    failed = transfer_pb2.Transfer.STATE_FAILED
    return pb.TransferReport(transfer=transfer.name, state=failed, reason=reason_to(reason))
