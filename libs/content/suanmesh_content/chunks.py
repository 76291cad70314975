"""Chunks: the pieces a dataset moves in. They are no part of its identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from blake3 import blake3

from suanmesh_content.manifest import ContentFile, Manifest

CHUNK_BYTES = 4 * 1024 * 1024
"""Bytes of a chunk: the most a `FetchChunks` range may ask for, and what is lost when an end dies."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """`size_bytes` bytes of the manifest's file number `file` from `offset`; `index` counts over the dataset."""

    index: int
    file: int
    offset: int
    size_bytes: int


def plan_chunks(manifest: Manifest, chunk_bytes: int = CHUNK_BYTES) -> tuple[Chunk, ...]:
    """Every byte of every file in exactly one chunk, in the manifest's order. An empty file has none."""
    pieces = [
        (number, offset, length)
        for number, file in enumerate(manifest.files)
        for offset, length in byte_chunks(file.size_bytes, chunk_bytes)
    ]
    return tuple(Chunk(index, *piece) for index, piece in enumerate(pieces))


def byte_chunks(size: int, chunk_bytes: int = CHUNK_BYTES) -> Iterator[tuple[int, int]]:
    """Offset and length of each chunk of `size` bytes."""
    if chunk_bytes < 1:
        raise ValueError("a chunk has at least one byte")
    for offset in range(0, size, chunk_bytes):
        yield offset, min(chunk_bytes, size - offset)


def chunk_digest(content: bytes | bytearray | memoryview) -> bytes:
    """BLAKE3 of a chunk's bytes, 32 bytes."""
    return blake3(content).digest()


def empty_files(manifest: Manifest) -> tuple[ContentFile, ...]:
    """Files that no chunk brings, because they have no bytes."""
    return tuple(file for file in manifest.files if file.size_bytes == 0)
