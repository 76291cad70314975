"""From folders of ended tasks to datasets of the site."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.transport.v1 import dataset_pb2
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh_agent import task_looks, wire
from suanmesh_agent.domain.log_view import gap
from suanmesh_agent.domain.tasks import TaskKey, setup_key
from suanmesh_agent.folder_files import files_of
from suanmesh_agent.journal import Journal
from suanmesh_agent.ports import Engine, SourceFile, TaskLog, TransportPort
from suanmesh_agent.replicas import Replicas, disk_bytes, fitting
from suanmesh_agent.turns import Turns
from suanmesh_content import FolderError, LeftOut, Manifest, ManifestError
from suanmesh_kernel.names import SETUP_LOG, last, log_file, output_dataset_id
from suanmesh_kernel.reasons import DETAIL, NO_REASON, StateReason
from suanmesh_kernel.refusals import AlreadyExists, Refusal
from suanmesh_sdk.result_folders import ResultFolders

_LOG_PIECE_BYTES = 1024 * 1024
_SMALL_LOG_BYTES = 4 * 1024 * 1024
"""Of all tasks of a placement together: what is read into memory, and neither copied nor read again."""


Runs = dict[str, list[TaskKey]]
"""By the id of an output the runs whose part of it can be data."""


STANDING_REFUSALS = ("NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "FAILED_PRECONDITION", "INVALID_ARGUMENT")
"""Codes of what is refused however often it is asked."""


class Results(NamedTuple):
    """What a placement's run has left: digests by the names of datasets."""

    outputs: Mapping[str, str] = {}
    """In the job's order; nothing where nothing that was to be delivered can be."""
    log: Mapping[str, str] = {}
    """One, whatever became of the outputs."""
    lacks: StateReason = NO_REASON
    """Why some of the outputs cannot be delivered; nothing where all of them are."""

    @property
    def delivered(self) -> bool:
        """Whether there is something of what was to be delivered, or nothing was."""
        return bool(self.outputs) or not self.lacks


class Delivery:
    """Makes datasets of outputs and logs."""

    def __init__(
        self,
        site: str,
        transport: TransportPort,
        engine: Engine,
        journal: Journal,
        replicas: Replicas,
        turns: Turns,
    ) -> None:
        self._site = site
        self._transport = transport
        self._engine = engine
        self._journal = journal
        self._replicas = replicas
        self._turns = turns

    async def results(self, placement: placement_pb2.Placement, tasks: Sequence[int]) -> Results:
        """Publish each output of `tasks`, where there are any, and the log, side by side. The journal is not told yet
        which replicas they have: see `name`.

        What of an output is no data is left out, and named in the log; so is all that a task left as an output where it
        cannot be read, and every task's part of one that is larger than the job's bound. The log of a run is there
        however its outputs are. Raises what `log` raises, and of `outputs` what is not for good.
        """
        newest = await task_looks.newest_keys(self._engine, placement)
        wanted = placement.work.outputs if tasks else ()
        runs: Runs = {output.output_id: [newest[index] for index in tasks] for output in wanted}
        lacks: list[StateReason] = []
        await self._turns.run(self._looking_over(placement, runs, lacks))
        if lacks and not any(runs.values()):
            return Results({}, await self.log(placement), lacks[0])
        outputs, log = await asyncio.gather(self.outputs(placement, runs), self.log(placement), return_exceptions=True)
        if isinstance(log, BaseException):
            raise log
        if isinstance(outputs, BaseException):
            return Results({}, log, lack_of(outputs))
        return Results(outputs, log, lacks[0] if lacks else NO_REASON)

    def name(self, datasets: Mapping[str, str]) -> None:
        """Write down which replicas datasets have, as a part of a step of the journal. A kill before costs nothing:
        the mesh is asked then.
        """
        for name, digest in datasets.items():
            self._journal.name_dataset(name, digest)

    async def outputs(self, placement: placement_pb2.Placement, runs: Runs) -> dict[str, str]:
        """Publish each output of its runs; digests by the names, in the job's order.

        One task's folder is the dataset; of several tasks, each has its `result_folder` in it.
        Raises FolderError and ManifestError where a task left something that cannot be data.
        """
        made: dict[str, str] = {}
        for output in placement.work.outputs if runs else ():
            manifest = await self._turns.run(self._taking_in(placement, output, runs[output.output_id]))
            made |= await self._published(placement, output.output_id, manifest)
        return made

    async def log(self, placement: placement_pb2.Placement) -> dict[str, str]:
        """Publish what the tasks wrote, one file each; digest by the dataset's name."""
        logs = _logs(await task_looks.newest_keys(self._engine, placement))
        setup = setup_key(last(placement.name))
        if placement.work.HasField("setup") and await asyncio.to_thread(self._engine.open_log, setup) is not None:
            logs[SETUP_LOG] = setup
        manifest = await asyncio.to_thread(self._small_log, logs) or await self._large_log(logs)
        return await self._published(placement, "log", manifest)

    def _small_log(self, logs: Mapping[str, TaskKey]) -> Manifest | None:
        """Taken in at one go; None where it is none."""
        files, size = dict[str, bytes](), 0
        for name, key in logs.items():
            pieces = []
            for piece in _log_pieces(self._engine.open_log(key)):
                size += len(piece)
                if size > _SMALL_LOG_BYTES:
                    return None
                pieces.append(piece)
            files[name] = b"".join(pieces)
        return self._replicas.keep(files)

    async def _large_log(self, logs: Mapping[str, TaskKey]) -> Manifest:
        with tempfile.TemporaryDirectory(prefix="suanmesh-log-") as name:
            await asyncio.to_thread(self._copy_logs, logs, Path(name))
            return await self._turns.run(self._replicas.taking_in({"": files_of(Path(name))}))

    async def publish(
        self, dataset_id: str, party: str, manifest: Manifest, *, residency: tuple[str, ...] = (), placement: str = ""
    ) -> str:
        """Name a replica of this site; the same name and content again changes nothing. Raises AlreadyExists."""
        made = await self._create(dataset_id, party, manifest, residency=residency, placement=placement)
        await self._journal.commit(partial(self.name, made))
        return next(iter(made))

    async def _create(
        self, dataset_id: str, party: str, manifest: Manifest, *, residency: tuple[str, ...] = (), placement: str
    ) -> dict[str, str]:
        dataset = dataset_pb2.Dataset(
            party=party,
            digest=manifest.digest,
            bytes=manifest.size_bytes,
            files=len(manifest.files),
            residency=residency,
        )
        ask = pb.DatasetAsk(dataset_id=dataset_id, dataset=dataset, placement=placement)
        stored = await self._transport.create_dataset(ask)
        self._replicas.announce()
        return {wire.pinned(stored): manifest.digest}

    async def _published(self, placement: placement_pb2.Placement, what: str, manifest: Manifest) -> dict[str, str]:
        """Publish under the output's own name; where other content has taken that, under the attempt's."""
        job_id = last(placement.job)
        try:
            dataset_id = output_dataset_id(job_id, what)
            return await self._create(dataset_id, placement.party, manifest, placement=placement.name)
        except AlreadyExists:
            dataset_id = output_dataset_id(job_id, what, max(1, placement.attempt))
            return await self._create(dataset_id, placement.party, manifest, placement=placement.name)

    def _looking_over(
        self, placement: placement_pb2.Placement, runs: Runs, lacks: list[StateReason]
    ) -> Generator[int, None, None]:
        """Before anything is read, in steps: note in each task's log what is left out of its outputs, take those out of
        `runs` that left nothing that can be data, and say in `lacks` why.

        What is larger than the job's bound was not paid for. A hole counts as its bytes.
        """
        most_bytes = disk_bytes(self._replicas.folder)
        for output in placement.work.outputs if runs else ():
            sizes = dict[TaskKey, int]()
            for key in list(runs[output.output_id]):
                left_out, told, size = LeftOut(), list[str](), 0
                source = self._collected(key, output, left_out)
                try:
                    with closing(fitting(source, most_bytes - sum(sizes.values()), left_out)) as files:
                        for file in files:
                            size += file.size_bytes
                            yield 0
                    sizes[key] = size
                except (FolderError, OSError) as fault:  # rights taken away: this task's trouble
                    detail = str(fault if isinstance(fault, FolderError) else fault.strerror or fault)
                    runs[output.output_id].remove(key)
                    many = {"task": str(key.index)} if placement.work.count > 1 else {}
                    lacks.append(StateReason("OUTPUT_INVALID", {DETAIL: detail, **many}))
                    told = [f"[output {output.output_id}: left out whole: {detail}]"]
                told += [f"[output {output.output_id}: left out {line}]" for line in left_out.lines()]
                if told:
                    self._engine.note(key, told)
            lacks += self._within_bound(output, runs, sizes)

    def _within_bound(self, output: job_pb2.Output, runs: Runs, sizes: Mapping[TaskKey, int]) -> list[StateReason]:
        """Take out of `runs` those that alone have more than the output may, or all where the others still do."""
        size, most = sum(sizes.values()), output.max_bytes
        if not most or size <= most:
            return []
        fit = {key: its for key, its in sizes.items() if its <= most}
        runs[output.output_id][:] = fit if sum(fit.values()) <= most else ()
        for key in sizes.keys() - runs[output.output_id]:
            self._engine.note(key, [f"[output {output.output_id}: left out whole: {size} bytes, at most {most}]"])
        return [
            StateReason("OUTPUT_TOO_LARGE", {"output": output.output_id, "bytes": str(size), "max_bytes": str(most)})
        ]

    def _taking_in(
        self, placement: placement_pb2.Placement, output: job_pb2.Output, keys: Sequence[TaskKey]
    ) -> Generator[int, None, Manifest]:
        """In steps; one placement takes in one output after the other."""
        left_out, work = LeftOut(), placement.work
        job, attempt = last(placement.job), max(1, placement.attempt)
        folders = ResultFolders(work.result_folder, work.parameters, job=job, attempt=attempt)
        sources = {
            folders.of(key.index) if work.count > 1 else "": self._collected(key, output, left_out) for key in keys
        }
        return (yield from self._replicas.taking_in(sources, left_out))

    def _collected(self, key: TaskKey, output: job_pb2.Output, left_out: LeftOut) -> Generator[SourceFile, None, None]:
        """As the engine gives it. Raises FolderError that says which output."""
        try:
            yield from self._engine.collect(key, output.mount, left_out)
        except FolderError as fault:
            raise FolderError(f"{output.output_id}: {fault}") from fault

    def _copy_logs(self, logs: Mapping[str, TaskKey], folder: Path) -> None:
        for name, key in logs.items():
            with (folder / name).open("wb") as file:
                file.writelines(_log_pieces(self._engine.open_log(key)))


def _logs(newest: Sequence[TaskKey]) -> dict[str, TaskKey]:
    """The runs by the names of their logs: that of the newest has its task's, those before it have numbers.

    A file is there, and empty, also for a task that was never started.
    """
    logs = {log_file(key.index): key for key in newest}
    for key in newest:
        for retry in range(key.retry):
            logs[log_file(key.index, retry)] = TaskKey(key.placement, key.index, retry)
    return logs


def _log_pieces(log: TaskLog | None) -> Iterator[bytes]:
    if log is None:
        return
    end = 0
    while True:
        offset, piece = log.read(end, _LOG_PIECE_BYTES)
        if not piece:
            return
        if offset > end:
            yield gap(offset - end)
        yield piece
        end = offset + len(piece)


def lack_of(fault: BaseException) -> StateReason:
    """Why a run's results cannot be delivered, after what came of trying. Raises `fault` where that may yet pass."""
    match fault:
        case FolderError() | ManifestError():
            return StateReason("OUTPUT_INVALID", {DETAIL: str(fault)})
        case OSError():  # rights taken away, a full disk: this placement's trouble, not the site's
            return StateReason("OUTPUT_INVALID", {DETAIL: str(fault.strerror or fault)})
        case Refusal(code=code) if code in STANDING_REFUSALS:
            return StateReason("OUTPUT_REFUSED", cause=StateReason.of(fault))
    raise fault
