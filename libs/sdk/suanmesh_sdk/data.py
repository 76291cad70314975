"""Folders to datasets, and back: in streams of packs through the gateway, with as much memory whatever their size.

What breaks off goes on where it was, in the same call and in a later one: a site keeps what it has taken for a day, and
a folder that is being filled keeps what has come beside it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.transport.v1 import dataset_pb2
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh_content import (
    FolderError,
    LeftOut,
    Manifest,
    ManifestError,
    Part,
    Run,
    Skip,
    Why,
    parts_of,
    read_file,
    read_folder,
    shown,
)
from suanmesh_kernel.names import of_version
from suanmesh_kernel.refusals import PermissionDenied, Refusal, ResourceExhausted
from suanmesh_sdk.data_planes import DataPlanes
from suanmesh_sdk.heap import keep_packs
from suanmesh_sdk.incoming import Incoming, is_draft
from suanmesh_sdk.read_ahead import ReadAhead
from suanmesh_sdk.sending import STREAM_S, FilesChanged, Progress, Sending, Tell, damaged

if TYPE_CHECKING:
    from suanmesh_sdk.mesh import Mesh

PATIENCE_S = 120.0
"""How long a put or get goes on trying while nothing moves."""
AGAIN_S = 0.5
_READ_FILES = "/suanmesh.agent.v1.AgentService/ReadFiles"
ReadFiles = Callable[..., Any]
"""The call at a site: parts as `parts_of` has them, or a message."""
READ_BYTES = 1 << 30
"""What is asked for with one call, so that none lasts for hours."""
RUNS_MAX = 10_000
CHANGES_OF_FILE_MAX = 2
CHANGES_MAX = 8
"""How often a folder is read again for files that change while they are sent."""
_GOES_ON = frozenset(("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED"))
_ELSEWHERE = frozenset(("ROOM_MISSING", "UPLOADS_REFUSED", "UPLOADS_TOO_LARGE"))
"""What another site may have room for."""
_GOES_ON_REASONS = frozenset(("STREAM_STALLED", "UPLOADS_TOO_MANY", "BYTES_OF_CALLER_MAX", "STREAMS_OF_CALLER_MAX"))


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
    """What of its files was sent, again where a call broke off or a file changed: not what the site had already."""

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


Result = TypeVar("Result")


def _nobody(_: Progress) -> None:
    """Nobody asks how far it is."""


class NamesCollide(Exception):
    """The folder's file system takes names of the dataset for one another; nothing was touched."""

    def __init__(self, folder: Path, groups: Sequence[Sequence[str]]) -> None:
        super().__init__(f"{folder}: {len(groups)} names collide")
        self.folder = folder
        self.groups = groups
        """Relative to the folder: paths of which it can hold but one."""


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
        this becomes its next version. What `skip` says of a path, and of whether it is a folder's, is left out.
        A file that changes while it is sent is read again, and left out when it changes once more. Raises FolderError,
        ManifestError, Refusal and OSError.
        """
        keep_packs()
        changed: Counter[str] = Counter()
        before_bytes, before = 0, ""
        for _ in range(CHANGES_MAX):
            left_out = LeftOut()
            but = partial(_left_out, left_out, changed, skip or _nothing)
            top, manifest = await asyncio.to_thread(_read, folder, left_out, but)
            sending = Sending(self._planes, top, manifest, progress, before)
            try:
                brought = await self._brought(sending, manifest, dataset_id, site, residency, labels, patience_s)
            except FilesChanged as fault:
                changed.update(fault.paths)
                before_bytes, before = before_bytes + sending.sent_bytes, manifest.digest
            else:
                return replace(brought, left_out=left_out, sent_bytes=before_bytes + brought.sent_bytes)
        raise FolderError(f"{shown(next(iter(changed)))}: {Why.CHANGES.value.en}")

    async def _brought(
        self,
        sending: Sending,
        manifest: Manifest,
        dataset_id: str,
        site: str,
        residency: Sequence[str],
        labels: Mapping[str, str] | None,
        patience_s: float,
    ) -> Brought:
        """What was read is published. Raises FilesChanged, Refusal."""
        dataset = dataset_pb2.Dataset(
            digest=manifest.digest,
            bytes=manifest.size_bytes,
            files=len(manifest.files),
            residency=residency,
            labels=labels,
        )
        request = pb.OpenUploadRequest(dataset_id=dataset_id, dataset=dataset, site=site)

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
        return Brought(name, to.site, manifest, LeftOut(), version, *why, sent_bytes=sending.sent_bytes)

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
        Raises FilesDiffer, NamesCollide, Refusal, OSError.
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
            channel = (await self._planes.channel(opened.site)).as_grpc()
            asked = agent_pb.ReadFilesRequest.SerializeToString
            site: ReadFiles = channel.unary_stream(_READ_FILES, asked, _read_answer)
            if manifest is None or manifest.digest != opened.dataset.digest:
                manifest = await self._manifest(opened, site)
                begun = Incoming(folder, manifest)
                await asyncio.to_thread(begun.begin)
                if begun.differing and existing is Existing.REFUSE:
                    raise FilesDiffer(folder, begun.differing)
                if begun.colliding and existing is not Existing.SKIP:
                    raise NamesCollide(folder, begun.colliding)
                if existing is Existing.SKIP:
                    await asyncio.to_thread(begun.leave_differing)
                incoming = begun
            assert incoming is not None
            while runs := incoming.next_runs(READ_BYTES, RUNS_MAX):
                await self._read(opened, site, runs, incoming, progress)
            await asyncio.to_thread(incoming.finish)
            return manifest

        return await _going_on(bring, lambda: incoming.bytes_done if incoming else 0, patience_s)

    async def _manifest(self, opened: pb.OpenDatasetResponse, site: ReadFiles) -> Manifest:
        request = agent_pb.ReadFilesRequest(site=opened.site, ticket=opened.ticket, manifest=True)
        answers = [answer async for answer in site(request, timeout=STREAM_S)]
        content = b"".join(answer.manifest for answer in answers if isinstance(answer, agent_pb.ReadFilesResponse))
        try:
            return await asyncio.to_thread(Manifest.sent, content, opened.dataset.digest)
        except ManifestError as fault:
            raise damaged(opened.dataset.name, f"its manifest: {fault}") from fault

    async def _read(
        self,
        opened: pb.OpenDatasetResponse,
        site: ReadFiles,
        runs: list[Run],
        incoming: Incoming,
        progress: Tell,
    ) -> None:
        asked = [agent_pb.FileRun(first=run.first, count=run.files, offset=run.offset) for run in runs]
        request = agent_pb.ReadFilesRequest(site=opened.site, ticket=opened.ticket, runs=asked)
        stream = site(request, timeout=STREAM_S)
        ahead = ReadAhead[list[Part] | agent_pb.ReadFilesResponse](stream)
        try:
            async for answer in ahead:
                await asyncio.to_thread(incoming.take, _parts(answer))
                progress(incoming.progress())
            await asyncio.to_thread(incoming.take_end)
        finally:
            ahead.close()
            stream.cancel()
            incoming.pause()


def _read_answer(raw: bytes) -> list[Part] | agent_pb.ReadFilesResponse:
    found = parts_of(raw, agent_pb.ReadFilesResponse.PARTS_FIELD_NUMBER)
    return agent_pb.ReadFilesResponse.FromString(raw) if found is None else found


def _parts(answer: list[Part] | agent_pb.ReadFilesResponse) -> list[Part]:
    return answer if isinstance(answer, list) else [Part(each.file, each.offset, each.content) for each in answer.parts]


def _read(path: Path, left_out: LeftOut, skip: Skip) -> tuple[Path, Manifest]:
    """A folder, or the one that a file lies in, and what of it is meant. A link that is named is followed."""
    if path.is_dir():
        return path, read_folder(path, left_out, skip)
    path = path.resolve()
    return path.parent, read_file(path)


def _left_out(left_out: LeftOut, changed: Mapping[str, int], skip: Skip, path: str, is_folder: bool) -> bool:
    """Whether a path is left out, and noted where nobody asked for that."""
    if skip(path, is_folder):
        return True
    if changed.get(path, 0) >= CHANGES_OF_FILE_MAX:
        left_out.add(path, Why.CHANGES)
    elif is_draft(path):
        left_out.add(path, Why.UNFINISHED)
    else:
        return False
    return True


def _nothing(_path: str, _is_folder: bool) -> bool:
    """Nothing is left out."""
    return False


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
