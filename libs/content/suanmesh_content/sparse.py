"""Holes of files: zeros that lie on no disk. They are found, and neither read nor written as zeros."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass

PIECE_BYTES = 1024 * 1024
"""What is read, hashed or copied at a time."""
BLOCK_BYTES = 64 * 1024
"""Zeros of at least so many bytes, aligned to as many, become a hole where content is written."""
ZEROS = bytes(PIECE_BYTES)
_NOTHING = bytes(BLOCK_BYTES)


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes of a file that lie on the disk, or a hole."""

    offset: int
    size_bytes: int
    hole: bool


def segments(fd: int, size_bytes: int) -> Iterator[Segment]:
    """The first `size_bytes` of an open file, in order. A file system that knows no holes has one segment."""
    offset = 0
    while offset < size_bytes:
        data = min(_seek(fd, offset, os.SEEK_DATA, size_bytes), size_bytes)
        if data > offset:
            yield Segment(offset, data - offset, True)
        if data < size_bytes:
            end = min(_seek(fd, data, os.SEEK_HOLE, size_bytes), size_bytes)
            end = end if end > data else size_bytes  # written to meanwhile: the rest is read as it is
            yield Segment(data, end - data, False)
            data = end
        offset = data


def contents(fd: int, size_bytes: int) -> Iterator[bytes | memoryview]:
    """The first `size_bytes` of an open file in pieces, holes as zeros that are not read. Shorter where it ends."""
    if 0 < size_bytes <= BLOCK_BYTES:  # to ask for its holes takes longer than to read it
        yield os.pread(fd, size_bytes, 0)
        return
    for segment in segments(fd, size_bytes):
        for offset in range(segment.offset, segment.offset + segment.size_bytes, PIECE_BYTES):
            size = min(PIECE_BYTES, segment.offset + segment.size_bytes - offset)
            if segment.hole:
                yield memoryview(ZEROS)[:size]
                continue
            piece = os.pread(fd, size, offset)
            yield piece
            if len(piece) < size:
                return


def zeros(size_bytes: int) -> Iterator[memoryview]:
    """So many zeros, in pieces; none for a size below 0."""
    for offset in range(0, size_bytes, PIECE_BYTES):
        yield memoryview(ZEROS)[: size_bytes - offset]


def copying(source: int, target: int, size_bytes: int) -> Generator[int, None, None]:
    """Copy an open file into an empty one, its holes as holes; yields the bytes of each step."""
    os.ftruncate(target, size_bytes)
    for segment in segments(source, size_bytes):
        if segment.hole:
            continue
        for offset in range(segment.offset, segment.offset + segment.size_bytes, PIECE_BYTES):
            size = min(PIECE_BYTES, segment.offset + segment.size_bytes - offset)
            piece = os.pread(source, size, offset)
            write_sparse(target, offset, piece)
            yield len(piece)


def write_sparse(fd: int, offset: int, content: bytes | bytearray | memoryview) -> None:
    """Write `content` at `offset`; runs of zeros are left as a hole where there is one already."""
    start = 0  # of what has to be written
    for block in range(0, len(content), BLOCK_BYTES):
        size = min(BLOCK_BYTES, len(content) - block)
        empty = size == BLOCK_BYTES and not content[block] and bytes(content[block : block + size]) == _NOTHING
        if empty and _seek(fd, offset + block, os.SEEK_DATA, offset + block + size) >= offset + block + size:
            _write(fd, content, start, block, offset)
            start = block + size
    _write(fd, content, start, len(content), offset)


def _write(fd: int, content: bytes | bytearray | memoryview, start: int, end: int, offset: int) -> None:
    view = memoryview(content)
    while start < end:
        start += os.pwrite(fd, view[start:end], offset + start)


def _seek(fd: int, offset: int, what: int, otherwise: int) -> int:
    """Where the next data or hole begins; `otherwise` where no more data comes."""
    try:
        return os.lseek(fd, offset, what)
    except OSError as fault:
        if fault.errno == errno.ENXIO:
            return otherwise
        raise
