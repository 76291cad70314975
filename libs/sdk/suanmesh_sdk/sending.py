"""A folder on its way to a site, in packs, of which the site says which it wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh_content import (
    BLOCK_BYTES,
    BLOCK_DIGEST_BYTES,
    PACK_BYTES,
    Manifest,
    Part,
    Run,
    block_digest,
    byte_chunks,
    carried,
    digest_of,
    finished,
    packs,
    serialized,
)
from suanmesh_kernel.refusals import DataLoss
from suanmesh_sdk.data_planes import DataPlanes
from suanmesh_sdk.read_ahead import ReadAhead, in_threads

STREAM_S = 3600.0
_WRITE_FILES = agent_pb.DESCRIPTOR.services_by_name["AgentService"].methods_by_name["WriteFiles"]
_PARTS = agent_pb.WriteFilesRequest.PARTS_FIELD_NUMBER


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a put or get is: what had come before counts."""

    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int


Tell = Callable[[Progress], None]


class FilesChanged(Exception):
    """Files are not, while they are sent, what they were read as."""

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__(f"{len(paths)} files changed")
        self.paths = paths
        """Relative to the folder."""


def damaged(dataset: str, how: str) -> DataLoss:
    """A dataset that did not arrive as what it is."""
    return DataLoss("DIGEST_MISMATCH", f"{dataset}: {how}", domain="transport.suanmesh", name=dataset)


class Sending:
    """One folder on its way to a site, over as many calls as that takes."""

    def __init__(
        self, planes: DataPlanes, folder: Path, manifest: Manifest, progress: Tell, in_place_of: str = ""
    ) -> None:
        """`in_place_of` is the digest of what was begun to be sent before the folder changed."""
        self._planes = planes
        self._folder = folder
        self._manifest = manifest
        self._tell = progress
        self._in_place_of = in_place_of
        self.sent_bytes = 0
        """Of all calls together, what was sent again too."""

    async def send(self, opened: pb.OpenUploadResponse) -> tuple[str, int]:
        """Send what the site wants until it has published it; name and version of the dataset.

        Raises FilesChanged, Refusal, and OSError.
        """
        path = f"/{_WRITE_FILES.containing_service.full_name}/{_WRITE_FILES.name}"
        answers = agent_pb.WriteFilesResponse.FromString
        channel = await self._planes.channel(opened.site)
        call: Any = channel.stream_stream(path, _serialized, answers)(timeout=STREAM_S)
        try:
            first = agent_pb.WriteFilesRequest(site=opened.site, ticket=opened.ticket, in_place_of=self._in_place_of)
            await call.write(first)
            content = await asyncio.to_thread(self._manifest.canonical)
            for offset, size in byte_chunks(len(content), PACK_BYTES):
                await call.write(agent_pb.WriteFilesRequest(manifest=content[offset : offset + size]))
            await call.write(agent_pb.WriteFilesRequest(manifest_ends=True))
            runs: list[Run] = []
            blocks: dict[int, bytes] = {}
            again = False
            async for answer in call:
                if answer.dataset:
                    return str(answer.dataset), int(answer.version)
                runs += [Run(run.first, run.count, run.offset) for run in answer.wanted]
                if answer.HasField("blocks"):
                    blocks[answer.blocks.file] = blocks.get(answer.blocks.file, b"") + answer.blocks.digests
                if answer.wanted_ends:
                    if again:
                        await self._require_unchanged(runs)
                    await self._send_files(call, runs, blocks)
                    runs, blocks, again = [], {}, True  # what is wanted again was no success
            raise damaged(opened.dataset, "the site has ended the upload without a word")
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
        except OSError:  # it is gone, or something else has its name
            await self._require_unchanged(runs)
            raise
        finally:
            ahead.close()
        await call.write(agent_pb.WriteFilesRequest(ends=True))

    async def _require_unchanged(self, runs: Iterable[Run]) -> None:
        """Raises FilesChanged where files of `runs` are not what they were read as; what is appended does not count."""
        if changed := await asyncio.to_thread(lambda: list(self._changed(runs))):
            raise FilesChanged(changed)

    def _changed(self, runs: Iterable[Run]) -> Iterator[str]:
        for number in (n for run in runs for n in range(run.first, run.first + run.files)):
            file = self._manifest.files[number]
            if not carried(self._manifest, number):
                continue
            try:
                same = finished(digest_of(f"{self._folder}/{file.path}", file.size_bytes)) == file.digest
            except OSError:
                same = False
            if not same:
                yield file.path


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
