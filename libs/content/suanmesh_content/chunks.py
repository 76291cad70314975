"""Chunks: the pieces a dataset moves in. They are no part of its identity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from blake3 import blake3

from suanmesh_content.manifest import Manifest

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
    """Every byte of every file in exactly one chunk, in the manifest's order. What has no bytes has none."""
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


class PieceError(ValueError):
    """A piece that does not follow the ones before it."""


@dataclass(frozen=True, slots=True)
class Whole:
    """A range that has come whole; `sound` where its bytes are those the sender took the digest of."""

    range: int
    content: bytearray
    sound: bool


class Assembly:
    """Puts the pieces of ranges together, as they come: each range in order, and its digest with the last piece."""

    def __init__(self, sizes_bytes: Sequence[int]) -> None:
        self._sizes = sizes_bytes
        self._range = 0
        self._content = bytearray()

    def add(self, number: int, content: bytes, digest: bytes) -> Whole | None:
        """Take the next piece; the range, where it is now whole. Raises PieceError."""
        if number != self._range or number >= len(self._sizes) or not content:
            raise PieceError(f"a piece of range {number} where one of range {self._range} follows")
        left = self._sizes[number] - len(self._content) - len(content)
        if left < 0 or bool(digest) != (left == 0):
            raise PieceError(f"range {number} ends elsewhere than it should")
        self._content += content
        if left:
            return None
        whole = Whole(number, self._content, chunk_digest(self._content) == digest)
        self._range, self._content = number + 1, bytearray()
        return whole
