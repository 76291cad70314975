"""What of a task's log is shown: from where on, and each line with the time it was written."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

Times = Sequence[tuple[int, int]]
"""Offsets, in order, each with the milliseconds since 1970 when what stands there was written, to the second."""
HEAD_SHARE = 4
"""Of what is kept of a log, one part in so many is its beginning; the rest is its end."""
PART_BYTES_MAX = 512 * 1024
LINE_BYTES_MAX = 256 * 1024
"""A piece is no longer than this, and so is no line in it."""


class Reads(Protocol):
    """A log, as far as it is looked at here."""

    def read(self, offset: int, bytes_max: int) -> tuple[int, bytes]:
        """What is kept from `offset` on, and where that begins."""

    def times(self) -> Times:
        """When it was written."""


@dataclass(frozen=True, slots=True)
class LogView:
    """Which part of a log is wanted, and how; nothing said is all of it as it is."""

    tail_lines: int = 0
    since_ms: int = 0
    timestamps: bool = False

    def begin(self, log: Reads) -> int:
        """Where it begins now. What is wanted since a time at which nothing was written yet begins at the end."""
        begin = 0
        if self.since_ms:
            found = offset_since(log.times(), self.since_ms)
            begin = _end(log, 0, LastLines(1)) if found is None else found
        if self.tail_lines:
            last = LastLines(self.tail_lines)
            _end(log, begin, last)
            begin = max(begin, last.begin() or 0)
        return begin


WHOLE = LogView()


def _end(log: Reads, offset: int, lines: LastLines) -> int:
    """Where the log ends now; `lines` sees all from `offset` on."""
    while True:
        begin, piece = log.read(offset, LINE_BYTES_MAX)
        if not piece:
            return offset
        lines.add(begin, piece)
        offset = begin + len(piece)


def gap(left_out: int) -> bytes:
    """What stands where a part of a log was not kept."""
    return f"\n[{left_out} bytes are left out here: a log is kept within a bound]\n".encode()


def run_again(retry: int) -> bytes:
    """What stands before the log of a run behind that of the one before it."""
    return f"\n[the task is run again: retry {retry}]\n".encode()


def offset_since(times: Times, since_ms: int) -> int | None:
    """Where what was written at `since_ms` or later begins, to the second; None where nothing was."""
    return next((offset for offset, when in times if when >= since_ms), None)


class LastLines:
    """Where the last lines of a log begin, found by its pieces."""

    def __init__(self, count: int) -> None:
        self._begins: deque[int] = deque(maxlen=count)
        self._at_begin = True

    def add(self, offset: int, piece: bytes) -> None:
        """The next piece, which begins at `offset`."""
        if self._at_begin:
            self._begins.append(offset)
        at = piece.find(b"\n")
        while at >= 0 and at + 1 < len(piece):
            self._begins.append(offset + at + 1)
            at = piece.find(b"\n", at + 1)
        self._at_begin = piece.endswith(b"\n")

    def begin(self) -> int | None:
        """None where there is no line."""
        return self._begins[0] if self._begins else None


class Stamped:
    """Puts before each line when it was written."""

    def __init__(self, *, at_begin: bool = True) -> None:
        """`at_begin` says whether the log is at the beginning of a line."""
        self._at_begin = at_begin
        self.end = 0
        """Offset behind the last part that was given."""

    def parts(self, offset: int, piece: bytes, times: Times) -> Iterator[bytes]:
        """A piece that begins at `offset`, with the times of its lines, in parts of no more than PART_BYTES_MAX."""
        offsets = [begin for begin, _ in times]
        made = bytearray()
        for line in _split(piece):
            if self._at_begin:
                made += _stamp(times, bisect_right(offsets, offset) - 1)
            made += line
            offset += len(line)
            self._at_begin = line.endswith(b"\n")
            self.end = offset
            if len(made) > PART_BYTES_MAX - LINE_BYTES_MAX:
                yield bytes(made)
                made.clear()
        if made:
            yield bytes(made)


def _split(piece: bytes) -> Iterator[bytes]:
    """At line feeds only: a carriage return draws the same line again."""
    begin = 0
    while begin < len(piece):
        end = piece.find(b"\n", begin) + 1 or len(piece)
        yield piece[begin:end]
        begin = end


def _stamp(times: Times, index: int) -> bytes:
    if not 0 <= index < len(times):
        return b"- "
    when = datetime.fromtimestamp(times[index][1] / 1000, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%SZ} ".encode()
