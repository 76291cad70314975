"""Reads one file of a dataset from a site that has it, and vouches for every byte of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from blake3 import blake3

from suanmesh.agent.v1.agent_service_pb2 import ChunkRange
from suanmesh.transport.v1.dataset_pb2 import Manifest as ManifestMessage
from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_content import Manifest, ManifestError, byte_chunks, chunk_digest, manifest_from
from suanmesh_kernel.refusals import DataLoss, NotFound
from suanmesh_transport.domain.datasets import Dataset
from suanmesh_transport.domain.transfers import Place
from suanmesh_transport.ports import DataPlane

PIECE_BYTES = 1024 * 1024
"""Most bytes of one answer."""
CHUNKS_AT_ONCE = 8
"""Chunks asked for in one request: what a broken read has asked for in vain."""


async def read_file(
    plane: DataPlane, place: Place, ticket: Signed, dataset: Dataset, path: str
) -> AsyncIterator[bytes]:
    """The file's bytes in pieces; the manifest's where `path` is empty.

    Raises NotFound (`FILE_UNKNOWN`), DataLoss (`DIGEST_MISMATCH`) at the latest after the last piece.
    """
    manifest = _checked(await plane.manifest(place, ticket), dataset, place)
    if not path:
        for piece in _pieces(manifest.canonical()):
            yield piece
        return
    index = manifest.index(path)
    if index is None:
        raise NotFound("FILE_UNKNOWN", f"{dataset.name} has no file {path[:200]!r}", name=dataset.name, path=path[:200])
    whole = blake3()
    async for chunk in _chunks(plane, place, ticket, index, manifest.files[index].size_bytes):
        whole.update(chunk)
        for piece in _pieces(chunk):
            yield piece
    if whole.digest() != manifest.files[index].digest:
        raise _mismatch(dataset, place, f"the file {path[:200]!r}")


async def _chunks(plane: DataPlane, place: Place, ticket: Signed, index: int, size_bytes: int) -> AsyncIterator[bytes]:
    ranges = [ChunkRange(file=index, offset=offset, bytes=length) for offset, length in byte_chunks(size_bytes)]
    for first in range(0, len(ranges), CHUNKS_AT_ONCE):
        wanted = ranges[first : first + CHUNKS_AT_ONCE]
        came = 0
        async for answer in plane.chunks(place, ticket, wanted):
            sound = answer.range == came < len(wanted) and len(answer.content) == wanted[came].bytes
            if not sound or chunk_digest(answer.content) != answer.digest:
                raise DataLoss("DIGEST_MISMATCH", f"{place.site} sent a damaged chunk", site=place.site)
            came += 1
            yield answer.content
        if came < len(wanted):
            raise DataLoss("DIGEST_MISMATCH", f"{place.site} sent {came} of {len(wanted)} chunks", site=place.site)


def _checked(message: ManifestMessage, dataset: Dataset, place: Place) -> Manifest:
    try:
        manifest = manifest_from(message)
    except ManifestError as fault:
        raise _mismatch(dataset, place, f"a manifest no dataset has ({fault})") from fault
    if manifest.digest != dataset.digest:
        raise _mismatch(dataset, place, "the manifest")
    return manifest


def _pieces(content: bytes) -> Iterator[bytes]:
    return (content[offset : offset + length] for offset, length in byte_chunks(len(content), PIECE_BYTES))


def _mismatch(dataset: Dataset, place: Place, what: str) -> DataLoss:
    message = f"{what} that {place.site} sent is not that of {dataset.name}"
    return DataLoss("DIGEST_MISMATCH", message, name=dataset.name, site=place.site)
