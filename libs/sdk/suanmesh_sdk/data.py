"""Folders to datasets, and back: in streams of packs through the gateway, with as much memory whatever their size.

What breaks off goes on where it was, in the same call and in a later one: a site keeps what it has taken for a day, and
a folder that is being filled keeps what has come beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from suanmesh.transport.v1 import dataset_pb2
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh_content import (
    BLOCK_BYTES,
    BLOCK_DIGEST_BYTES,
    PACK_BYTES,
    LeftOut,
    Manifest,
    ManifestError,
    Part,
    Run,
    block_digest,
    byte_chunks,
    carried,
    manifest_from,
    packs,
    read_file,
    read_folder,
    serialized,
)
from suanmesh_kernel.names import of_version
from suanmesh_kernel.refusals import DataLoss, PermissionDenied, Refusal, ResourceExhausted
from suanmesh_sdk.data_planes import DataPlanes
from suanmesh_sdk.heap import keep_packs
from suanmesh_sdk.incoming import Incoming
from suanmesh_sdk.read_ahead import ReadAhead, in_threads

if TYPE_CHECKING:
    from suanmesh_sdk.mesh import Mesh

PATIENCE_S = 120.0
"""How long a put or get goes on trying while nothing moves."""
AGAIN_S = 0.5
STREAM_S = 3600.0
READ_BYTES = 1 << 30
"""What is asked for with one call, so that none lasts for hours."""
RUNS_MAX = 10_000
_WRITE_FILES = agent_pb.DESCRIPTOR.services_by_name["AgentService"].methods_by_name["WriteFiles"]
_PARTS = agent_pb.WriteFilesRequest.PARTS_FIELD_NUMBER
_GOES_ON = frozenset(("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED"))
_ELSEWHERE = frozenset(("ROOM_MISSING", "UPLOADS_REFUSED", "UPLOADS_TOO_LARGE"))
"""What another site may have room for."""
_GOES_ON_REASONS = frozenset(("STREAM_STALLED", "UPLOADS_TOO_MANY", "BYTES_OF_CALLER_MAX", "STREAMS_OF_CALLER_MAX"))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a put or get is: what had come before counts."""

    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int


@dataclass(frozen=True, slots=True)
class Brought:
    """What became of a folder."""

    dataset: str
    """`datasets/{dataset}`."""
    site: str
    manifest: Manifest
    left_out: LeftOut
    """What of the folder no dataset can hold."""
    version: int = 1
    """Which version of the dataset it is."""
    choice: pb.UploadChoice.ValueType = pb.UPLOAD_CHOICE_UNSPECIFIED
    """Why that site takes it."""
    distance_km: int = 0
    """How far that is from where data of the party lies, where that was weighed."""
    latency_us: int = 0
    """How long the way from there takes, where that was weighed."""
    sent_bytes: int = 0
    """What of its files was sent, again where a call broke off: not what the site had already."""

    @property
    def pinned(self) -> str:
        """The name of that version, `datasets/{dataset}@{version}`: what later puts do not change."""
        return of_version(self.dataset, self.version)


class Existing(Enum):
    """What becomes of files that lie, with other content, where a dataset is fetched to."""

    REFUSE = "refuse"
    """Nothing is fetched."""
    REPLACE = "replace"
    """They are those of the dataset afterwards."""
    SKIP = "skip"
    """They stay; the rest is fetched."""


class FilesDiffer(Exception):
    """Other content lies where a dataset was to be fetched to; nothing was touched."""

    def __init__(self, folder: Path, paths: Sequence[str]) -> None:
        super().__init__(f"{folder}: {len(paths)} files differ")
        self.folder = folder
        self.paths = paths
        """Relative to the folder: the files, and what lies where the dataset has folders."""


Tell = Callable[[Progress], None]
Result = TypeVar("Result")


def _nobody(_: Progress) -> None:
    """Nobody asks how far it is."""


class Data:
    """Moves folders. Calls may run side by side."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._planes = DataPlanes(mesh)

    async def put(
        self,
        folder: Path,
        dataset_id: str,
        *,
        site: str = "",
        residency: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        skip: Callable[[str, bool], bool] | None = None,
        progress: Tell = _nobody,
        patience_s: float = PATIENCE_S,
    ) -> Brought:
        """Make `folder`, or one file, the dataset `dataset_id` of the caller's party, at `site` or one that is chosen.

        Repeating it changes nothing but the labels, and brings what is missing; where the dataset has other content,
        this becomes its next version. What `skip` says of a path, and of whether it is a folder's, is left out. Raises
        FolderError, ManifestError and Refusal.
        """
        keep_packs()
        left_out = LeftOut()
        folder, manifest = await asyncio.to_thread(_read, folder, left_out, skip)
        dataset = dataset_pb2.Dataset(
            digest=manifest.digest,
            bytes=manifest.size_bytes,
            files=len(manifest.files),
            residency=residency,
            labels=labels,
        )
        request = pb.OpenUploadRequest(dataset_id=dataset_id, dataset=dataset, site=site)
        sending = _Sending(self._planes, folder, manifest, progress)

        async def bring() -> tuple[str, int, pb.OpenUploadResponse]:
            opened = await self._mesh.transport.OpenUpload(request)
            if not opened.HasField("ticket"):
                if labels:
                    await self._label(of_version(opened.dataset, opened.version), labels)
                return opened.dataset, opened.version, opened
            try:
                return *await sending.send(opened), opened
            except (PermissionDenied, ResourceExhausted) as refusal:
                if refusal.reason in _ELSEWHERE and not site:
                    request.but.append(opened.site)
                    return await bring()
                raise

        name, version, to = await _going_on(bring, lambda: sending.sent_bytes, patience_s)
        why = to.choice, to.distance_km, to.latency_us
        return Brought(name, to.site, manifest, left_out, version, *why, sent_bytes=sending.sent_bytes)

    async def _label(self, name: str, labels: Mapping[str, str]) -> None:
        await self._mesh.transport.SetDatasetLabels(pb.SetDatasetLabelsRequest(name=name, labels=labels))

    async def get(
        self,
        dataset: str,
        folder: Path,
        *,
        existing: Existing = Existing.REFUSE,
        progress: Tell = _nobody,
        patience_s: float = PATIENCE_S,
    ) -> Manifest:
        """Bring a dataset into `folder`, each file whole under its name or not at all; what is there is not asked for.

        What becomes of other content that lies there is for `existing` to say; nothing is touched where that refuses.
        Raises FilesDiffer, Refusal, OSError.
        """
        keep_packs()
        manifest: Manifest | None = None
        incoming: Incoming | None = None
        wanted = dataset

        async def bring() -> Manifest:
            nonlocal manifest, incoming, wanted
            opened = await self._mesh.transport.OpenDataset(pb.OpenDatasetRequest(name=wanted))
            if opened.dataset.version:  # what broke off goes on with the same
                wanted = of_version(opened.dataset.name, opened.dataset.version)
            site = AgentServiceStub((await self._planes.channel(opened.site)).as_grpc())
            if manifest is None or manifest.digest != opened.dataset.digest:
                manifest = await self._manifest(opened, site)
                begun = Incoming(folder, manifest)
                await asyncio.to_thread(begun.begin)
                if begun.differing and existing is Existing.REFUSE:
                    raise FilesDiffer(folder, begun.differing)
                if existing is Existing.SKIP:
                    await asyncio.to_thread(begun.leave_differing)
                incoming = begun
            assert incoming is not None
            while runs := incoming.next_runs(READ_BYTES, RUNS_MAX):
                await self._read(opened, site, runs, incoming, progress)
            await asyncio.to_thread(incoming.finish)
            return manifest

        return await _going_on(bring, lambda: incoming.bytes_done if incoming else 0, patience_s)

    async def _manifest(self, opened: pb.OpenDatasetResponse, site: AgentServiceStub) -> Manifest:
        request = agent_pb.ReadFilesRequest(site=opened.site, ticket=opened.ticket, manifest=True)
        content = b"".join([answer.manifest async for answer in site.ReadFiles(request, timeout=STREAM_S)])
        try:
            manifest = await asyncio.to_thread(lambda: manifest_from(dataset_pb2.Manifest.FromString(content)))
        except ManifestError as fault:
            raise _damaged(opened.dataset.name, str(fault)) from fault
        if manifest.digest != opened.dataset.digest:
            raise _damaged(opened.dataset.name, "the manifest is another's")
        return manifest

    async def _read(
        self,
        opened: pb.OpenDatasetResponse,
        site: AgentServiceStub,
        runs: list[Run],
        incoming: Incoming,
        progress: Tell,
    ) -> None:
        asked = [agent_pb.FileRun(first=run.first, count=run.files, offset=run.offset) for run in runs]
        request = agent_pb.ReadFilesRequest(site=opened.site, ticket=opened.ticket, runs=asked)
        stream: Any = site.ReadFiles(request, timeout=STREAM_S)
        ahead = ReadAhead[agent_pb.ReadFilesResponse](stream)
        try:
            async for answer in ahead:
                parts = [Part(part.file, part.offset, part.content) for part in answer.parts]
                await asyncio.to_thread(incoming.take, parts)
                progress(incoming.progress())
            await asyncio.to_thread(incoming.take_end)
        finally:
            ahead.close()
            stream.cancel()
            incoming.pause()


class _Sending:
    """One folder on its way to a site, over as many calls as that takes."""

    def __init__(self, planes: DataPlanes, folder: Path, manifest: Manifest, progress: Tell) -> None:
        self._planes = planes
        self._folder = folder
        self._manifest = manifest
        self._tell = progress
        self.sent_bytes = 0
        """Of all calls together, what was sent again too."""

    async def send(self, opened: pb.OpenUploadResponse) -> tuple[str, int]:
        """Send what the site wants until it has published it; name and version of the dataset."""
        path = f"/{_WRITE_FILES.containing_service.full_name}/{_WRITE_FILES.name}"
        answers = agent_pb.WriteFilesResponse.FromString
        channel = await self._planes.channel(opened.site)
        call: Any = channel.stream_stream(path, _serialized, answers)(timeout=STREAM_S)
        try:
            await call.write(agent_pb.WriteFilesRequest(site=opened.site, ticket=opened.ticket))
            content = await asyncio.to_thread(self._manifest.canonical)
            for offset, size in byte_chunks(len(content), PACK_BYTES):
                await call.write(agent_pb.WriteFilesRequest(manifest=content[offset : offset + size]))
            await call.write(agent_pb.WriteFilesRequest(manifest_ends=True))
            runs: list[Run] = []
            blocks: dict[int, bytes] = {}
            async for answer in call:
                if answer.dataset:
                    return str(answer.dataset), int(answer.version)
                runs += [Run(run.first, run.count, run.offset) for run in answer.wanted]
                if answer.HasField("blocks"):
                    blocks[answer.blocks.file] = blocks.get(answer.blocks.file, b"") + answer.blocks.digests
                if answer.wanted_ends:
                    await self._send_files(call, runs, blocks)
                    runs, blocks = [], {}  # what is wanted again was no success
            raise _damaged(opened.dataset, "the site has ended the upload without a word")
        finally:
            call.cancel()

    async def _send_files(self, call: Any, runs: list[Run], blocks: Mapping[int, bytes]) -> None:
        """What is wanted, but for the blocks that the site has as they are."""
        files = self._manifest.files
        left = sum(
            files[number].size_bytes - run.offset * (number == run.first)
            for run in runs
            for number in range(run.first, run.first + run.files)
            if carried(self._manifest, number)
        )
        made = packs(self._folder, self._manifest, runs)
        ahead = ReadAhead(in_threads(_messages(made, blocks)))
        try:
            async for message, size, last, same in ahead:
                await call.write(message)
                self.sent_bytes += size
                left -= size + same
                total = self._manifest.size_bytes
                self._tell(Progress(total - left, total, last + 1, len(files)))
        finally:
            ahead.close()
        await call.write(agent_pb.WriteFilesRequest(ends=True))


def _messages(
    made: Iterable[list[Part]], blocks: Mapping[int, bytes]
) -> Generator[tuple[bytes, int, int, int], None, None]:
    """A message for each pack, how many bytes of files it brings, the number of the last of them, and how many bytes it
    only says to be the same.
    """
    for pack in made:
        last = pack[-1]
        if blocks and _is_same(pack, blocks):
            part = agent_pb.FilePart(file=last.file, offset=last.offset, same_bytes=len(last.content))
            yield agent_pb.WriteFilesRequest(parts=[part]).SerializeToString(), 0, last.file, len(last.content)
        else:
            yield serialized(pack, _PARTS), sum(len(part.content) for part in pack), last.file, 0


def _is_same(pack: Sequence[Part], blocks: Mapping[int, bytes]) -> bool:
    """Whether a pack is one block of a large file that the site has."""
    part = pack[-1]
    if len(pack) > 1 or len(part.content) != BLOCK_BYTES or part.offset % BLOCK_BYTES or part.file not in blocks:
        return False
    begin = part.offset // BLOCK_BYTES * BLOCK_DIGEST_BYTES
    return blocks[part.file][begin : begin + BLOCK_DIGEST_BYTES] == block_digest(part.content)


def _serialized(message: agent_pb.WriteFilesRequest | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


def _read(path: Path, left_out: LeftOut, skip: Callable[[str, bool], bool] | None) -> tuple[Path, Manifest]:
    """A folder, or the one that a file lies in, and what of it is meant."""
    return (path, read_folder(path, left_out, skip)) if path.is_dir() else (path.parent, read_file(path))


async def _going_on(bring: Callable[[], Awaitable[Result]], moved: Callable[[], int], patience_s: float) -> Result:
    """What `bring` answers, which is called again while it breaks off and something moves. Raises its last refusal."""
    loop = asyncio.get_running_loop()
    before, until = moved(), loop.time() + patience_s
    while True:
        try:
            return await bring()
        except Refusal as refusal:
            if refusal.code not in _GOES_ON and refusal.reason not in _GOES_ON_REASONS:
                raise
            if moved() > before:
                before, until = moved(), loop.time() + patience_s
            if loop.time() >= until:
                raise
        await asyncio.sleep(AGAIN_S)


def _damaged(dataset: str, how: str) -> DataLoss:
    return DataLoss("DIGEST_MISMATCH", f"{dataset}: {how}", domain="transport.suanmesh", name=dataset)
