"""Files on their way: many small ones, or a part of a large one, in each pack; holes are not sent.

Packs follow the order of the manifest, so that one place in it says what has come: everything before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from suanmesh_content.manifest import Manifest
from suanmesh_content.sparse import BLOCK_BYTES, contents, segments, write_sparse, zeros

PACK_BYTES = 1024 * 1024
"""Most bytes of files in one pack."""
PACK_PARTS_MAX = 1000
_INT32_MAX, _INT64_MAX = (1 << 31) - 1, (1 << 63) - 1


class Run(NamedTuple):
    """Files that follow each other in a manifest; of the first, `offset` bytes are not wanted."""

    first: int
    files: int
    offset: int = 0


class Part(NamedTuple):
    """Some bytes of file number `file`; what no part brings are zeros."""

    file: int
    offset: int
    content: bytes | memoryview


class Place(NamedTuple):
    """How far in a manifest something is: all files before `file`, and of that the bytes before `offset`."""

    file: int = 0
    offset: int = 0


class PartError(ValueError):
    """A part that is not one of those that were asked for, or not in their order."""


def carried(manifest: Manifest, number: int) -> bool:
    """Whether packs bring anything of that file: of links, folders and empty files the manifest says it all."""
    file = manifest.files[number]
    return file.regular and file.size_bytes > 0


def runs_of(manifest: Manifest, wanted: Iterable[int], begin: Place = Place()) -> list[Run]:  # noqa: B008 - a value
    """Files to ask for, by their numbers in order; of the one at `begin` only what follows."""
    runs: list[Run] = []
    for number in wanted:
        offset = begin.offset if number == begin.file else 0
        if (
            runs
            and not offset
            and all(not carried(manifest, n) for n in range(runs[-1].first + runs[-1].files, number))
        ):
            runs[-1] = runs[-1]._replace(files=number + 1 - runs[-1].first)
        else:
            runs.append(Run(number, 1, offset))
    return runs


def packs(folder: Path, manifest: Manifest, runs: Iterable[Run]) -> Generator[list[Part], None, None]:
    """The bytes of the files of `runs` that lie in `folder`, in packs. Raises OSError.

    A file that is shorter than the manifest says comes as it is: whoever takes it finds out.
    """
    pack: list[Part] = []
    size = 0
    for run in runs:
        for number in range(run.first, run.first + run.files):
            if not carried(manifest, number):
                continue
            file = manifest.files[number]
            for part in _parts(f"{folder}/{file.path}", number, file.size_bytes, run.offset * (number == run.first)):
                if size + len(part.content) > PACK_BYTES or len(pack) >= PACK_PARTS_MAX:
                    yield pack
                    pack, size = [], 0
                pack.append(part)
                size += len(part.content)
    if pack:
        yield pack


def serialized(pack: Iterable[Part], field: int) -> bytes:
    """A message whose field number `field` holds the parts of a pack (`agent.v1.FilePart`), and that holds no more.

    Content is copied once. To make a message of it by protobuf copies it five times, which takes longer than all else
    that is done with it.
    """
    tag = _varint(field << 3 | 2)
    pieces: list[bytes | memoryview] = []
    for number, offset, content in pack:
        facts = (b"\x08" + _varint(number) if number else b"") + (b"\x10" + _varint(offset) if offset else b"")
        if content:
            facts += b"\x1a" + _varint(len(content))
        pieces += (tag, _varint(len(facts) + len(content)), facts, content)
    return b"".join(pieces)


def parts_of(message: bytes, field: int) -> list[Part] | None:
    """The parts of a message as `serialized` makes it, within their bounds, whose content lies in it uncopied.

    None for any other: protobuf reads that, and copies content twice.
    """
    parts: list[Part] = []
    view, tag, at = memoryview(message), field << 3 | 2, 0
    try:
        while at < len(message):
            if message[at] != tag or len(parts) == PACK_PARTS_MAX:
                return None
            size, at = _varint_at(message, at + 1)
            end, number, offset, content = at + size, 0, 0, 0
            if at < end and message[at] == 0x08:
                number, at = _varint_at(message, at + 1)
            if at < end and message[at] == 0x10:
                offset, at = _varint_at(message, at + 1)
            if at < end and message[at] == 0x1A:
                content, at = _varint_at(message, at + 1)
            if at + content != end or content > PACK_BYTES or number > _INT32_MAX or offset > _INT64_MAX:
                return None
            parts.append(Part(number, offset, view[at:end]))
            at = end
    except IndexError:
        return None
    return parts if parts and at == len(message) else None


def _varint_at(message: bytes, at: int) -> tuple[int, int]:
    """The number that is written there, and where it ends. Raises IndexError."""
    number = message[at]
    if number < 0x80:
        return number, at + 1
    number &= 0x7F
    for shift in range(7, 70, 7):
        at += 1
        digit = message[at]
        number |= (digit & 0x7F) << shift
        if digit < 0x80:
            return number, at + 1
    raise IndexError("no number ends there")


def _varint(number: int) -> bytes:
    if number < 0x80:
        return number.to_bytes(1, "little")
    digits = bytearray()
    while number >= 0x80:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def _parts(path: str, number: int, size: int, begin: int) -> Iterator[Part]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if size <= PACK_BYTES:
            yield Part(number, begin, os.pread(fd, size - begin, begin))
            return
        found = False
        for segment in segments(fd, size):
            start, end = max(segment.offset, begin), segment.offset + segment.size_bytes
            for offset in range(start, end, PACK_BYTES) if not segment.hole else ():
                found = True
                yield Part(number, offset, os.pread(fd, min(PACK_BYTES, end - offset), offset))
        if not found:
            yield Part(number, size, b"")
    finally:
        os.close(fd)


class Unpacking:
    """Writes packs, each file where `path_of` says; `whole` is told of each file that has come to its end.

    `whole` gets the file's number and the BLAKE3 of its bytes as they came; of a file that is gone on with, what lies
    there of it is read first. `written` is told of the bytes of large files: descriptor, offset and size. Files are
    made with `modes`, the second where they may be run, as far as the process's umask lets them; those that come in
    one part with `modes_of_whole`. Raises PartError and OSError.
    """

    def __init__(
        self,
        manifest: Manifest,
        path_of: Callable[[int], str],
        whole: Callable[[int, bytes], None],
        begin: Place = Place(),  # noqa: B008 - a value
        written: Callable[[int, int, int], None] = lambda *_: None,
        *,
        modes: tuple[int, int] = (0o600, 0o700),
        modes_of_whole: tuple[int, int] | None = None,
    ) -> None:
        self._manifest = manifest
        self._path_of = path_of
        self._whole = whole
        self._written = written
        self._modes = modes
        self._modes_of_whole = modes_of_whole or modes
        self.place = begin
        """How far it is."""
        self._number = -1
        self._fd = -1
        self._hasher = blake3()
        self._hashed = 0

    def take(self, pack: Iterable[Part]) -> None:
        """Write a pack that follows what was taken before."""
        for number, offset, content in pack:
            if (number, offset) < self.place or not 0 <= number < len(self._manifest.files):
                raise PartError(f"a part of file {number} at {offset} after {self.place}")
            file = self._manifest.files[number]
            end = offset + len(content)
            if not carried(self._manifest, number) or end > file.size_bytes:
                raise PartError(f"a part of file {number} ends at {end}")
            if number != self._number:
                self.end()
                if len(content) == file.size_bytes < BLOCK_BYTES:
                    self._take_small(number, content, executable=file.executable)
                    continue
                self._begin(number, file.size_bytes, executable=file.executable)
            self._hash_hole(offset)
            self._hasher.update(content)
            self._hashed = end
            write_sparse(self._fd, offset, content)
            if len(content) < file.size_bytes:
                self._written(self._fd, offset, len(content))
            self.place = Place(number, end)

    def end(self) -> None:
        """The file that is being written is whole: another follows, or nothing."""
        number, self._number = self._number, -1
        if number < 0:
            return
        os.close(self._fd)
        self.place = Place(number + 1, 0)
        self._hash_hole(self._manifest.files[number].size_bytes)
        self._whole(number, self._hasher.digest())

    def close(self) -> None:
        """Leave a file that is being written as it is."""
        if self._number >= 0:
            self._number = -1
            with suppress(OSError):
                os.close(self._fd)

    def _take_small(self, number: int, content: bytes | memoryview, *, executable: bool) -> None:
        """A file that comes in one part, and is too small to hold a hole: it is never looked at again."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        path, mode = self._path_of(number), self._modes_of_whole[executable]
        try:
            fd = os.open(path, flags, mode)
        except PermissionError:  # it came before, and may not be written to any more
            os.unlink(path)  # noqa: PTH108 - there may be a hundred thousand
            fd = os.open(path, flags, mode)
        try:
            _write_whole(fd, content)
        finally:
            os.close(fd)
        self.place = Place(number + 1, 0)
        self._whole(number, blake3(content).digest())

    def _begin(self, number: int, size: int, *, executable: bool) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        goes_on = (self.place.file, self.place.offset > 0) == (number, True)
        self._fd = os.open(self._path_of(number), flags if goes_on else flags | os.O_TRUNC, self._modes[executable])
        self._number = number
        if os.fstat(self._fd).st_size != size:
            os.ftruncate(self._fd, size)
        self._hasher, self._hashed = blake3(), 0
        if goes_on:
            for piece in contents(self._fd, self.place.offset):
                self._hasher.update(piece)
            self._hashed = self.place.offset

    def _hash_hole(self, end: int) -> None:
        """What lies before `end` and did not come are zeros."""
        for piece in zeros(end - self._hashed):
            self._hasher.update(piece)
        self._hashed = max(self._hashed, end)


def _write_whole(fd: int, content: bytes | memoryview) -> None:
    view = memoryview(content)
    done = 0
    while done < len(content):
        done += os.pwrite(fd, view[done:], done)
