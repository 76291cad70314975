"""Reads one file of a dataset from a site that has it, and vouches for every byte of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from blake3 import blake3

from suanmesh.agent.v1.agent_service_pb2 import ChunkRange
from suanmesh.transport.v1.dataset_pb2 import Manifest as ManifestMessage
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_chassis.budget import ByteBudget
from suanmesh_content import (
    Assembly,
    ContentFile,
    Manifest,
    ManifestError,
    PieceError,
    byte_chunks,
    manifest_from,
)
from suanmesh_kernel.refusals import DataLoss, NotFound, ResourceExhausted
from suanmesh_transport.domain.datasets import Dataset
from suanmesh_transport.domain.transfers import Place
from suanmesh_transport.ports import DataPlane

PIECE_BYTES = 128 * 1024
"""Most bytes of one answer."""
RANGE_BYTES = 512 * 1024
"""What is asked for, checked and passed on together."""
RANGES_AT_ONCE = 16
"""Ranges of one request: what a broken read has asked for in vain."""
READ_BYTES = 1024 * 1024
"""What a read takes of memory, whether its caller takes what it asked for or not."""
MANIFEST_FILE_BYTES = 512
"""What a manifest takes of memory while it is checked, for each file."""
HELD_BYTES_MAX = 64 * 1024 * 1024
HELD_SHARE_BYTES = 8 * 1024 * 1024
"""Of one caller: so many MiB, so many reads at a time; more wait for their turn."""


def reading_budget() -> ByteBudget:
    """The one budget of a transport."""
    return ByteBudget(total_bytes=HELD_BYTES_MAX, share_bytes=HELD_SHARE_BYTES)


class FileReader:
    """Reads files for callers, no more of them at a time than there is memory for."""

    def __init__(self, plane: DataPlane, budget: ByteBudget) -> None:
        self._plane = plane
        self._budget = budget

    async def read(
        self, place: Place, ticket: Signed, dataset: Dataset, path: str, *, caller: str
    ) -> AsyncGenerator[bytes, None]:
        """The file's bytes in pieces; the manifest's where `path` is empty.

        Raises NotFound (`FILE_UNKNOWN`), DataLoss (`DIGEST_MISMATCH`) at the latest after the last piece.
        """
        async with self._budget.hold(caller, READ_BYTES + dataset.files * MANIFEST_FILE_BYTES):
            manifest = await self._manifest(place, ticket, dataset)
            if not path:
                for piece in _pieces(manifest.canonical()):
                    yield piece
                return
            index, file = _found(manifest, dataset, path)
            del manifest
        whole = blake3()
        async with (
            self._budget.hold(caller, READ_BYTES),
            aclosing(self._ranges(place, ticket, index, file.size_bytes)) as ranges,
        ):
            async for content in ranges:
                whole.update(content)
                for piece in _pieces(content):
                    yield piece
        if whole.digest() != file.digest:
            raise _mismatch(dataset, place, f"the file {path[:200]!r}")

    async def _manifest(self, place: Place, ticket: Signed, dataset: Dataset) -> Manifest:
        message = await self._plane.manifest(place, ticket)
        return await asyncio.to_thread(_checked, message, dataset, place)

    async def _ranges(
        self, place: Place, ticket: Signed, index: int, size_bytes: int
    ) -> AsyncGenerator[bytearray, None]:
        """The file in ranges, each of them checked. A site that has lost patience with our caller is asked again."""
        done = 0
        while done < size_bytes:
            begun, end = done, min(size_bytes, done + RANGES_AT_ONCE * RANGE_BYTES)
            wanted = [
                ChunkRange(file=index, offset=done + offset, bytes=length)
                for offset, length in byte_chunks(end - done, RANGE_BYTES)
            ]
            try:
                async with aclosing(self._requested(place, ticket, wanted)) as contents:
                    async for content in contents:
                        done += len(content)
                        yield content
            except ResourceExhausted as refusal:
                if refusal.reason != "STREAM_STALLED" or done == begun:
                    raise

    async def _requested(
        self, place: Place, ticket: Signed, wanted: list[ChunkRange]
    ) -> AsyncGenerator[bytearray, None]:
        assembly, came = Assembly([each.bytes for each in wanted]), 0
        try:
            async with aclosing(self._plane.chunks(place, ticket, wanted)) as answers:
                async for answer in answers:
                    whole = assembly.add(answer.range, answer.content, answer.digest)
                    if whole is not None and not whole.sound:
                        raise DataLoss("DIGEST_MISMATCH", f"{place.site} sent a damaged range", site=place.site)
                    if whole is not None:
                        came += 1
                        yield whole.content
        except PieceError as fault:
            raise DataLoss("DIGEST_MISMATCH", f"{place.site} sent {fault}", site=place.site) from fault
        if came < len(wanted):
            raise DataLoss("DIGEST_MISMATCH", f"{place.site} sent {came} of {len(wanted)} ranges", site=place.site)


def _found(manifest: Manifest, dataset: Dataset, path: str) -> tuple[int, ContentFile]:
    index = manifest.index(path)
    if index is None or not manifest.files[index].regular:
        named = ascii(path[:200])
        raise NotFound("FILE_UNKNOWN", f"{dataset.name} has no file {named}", name=dataset.name, path=named)
    return index, manifest.files[index]


def _checked(message: ManifestMessage, dataset: Dataset, place: Place) -> Manifest:
    try:
        manifest = manifest_from(message)
    except ManifestError as fault:
        raise _mismatch(dataset, place, f"a manifest no dataset has ({fault})") from fault
    if manifest.digest != dataset.digest:
        raise _mismatch(dataset, place, "the manifest")
    return manifest


def _pieces(content: bytes | bytearray) -> Iterator[bytes]:
    return (bytes(content[offset : offset + length]) for offset, length in byte_chunks(len(content), PIECE_BYTES))


def _mismatch(dataset: Dataset, place: Place, what: str) -> DataLoss:
    message = f"{what} that {place.site} sent is not that of {dataset.name}"
    return DataLoss("DIGEST_MISMATCH", message, name=dataset.name, site=place.site)
