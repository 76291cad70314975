"""Which part of a log is shown, and when its lines were written."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_agent.domain.log_view import LogView, Stamped, Times

logs = st.lists(st.sampled_from([b"a\n", b"bb\n", b"\n", b"cut", b"r\rr\n"]), max_size=12).map(b"".join)


@dataclass
class HeldLog:
    """A log that is there as a whole, given in pieces of some bytes."""

    content: bytes
    piece: int = 3
    stamps: Times = field(default_factory=list)

    def read(self, offset: int, bytes_max: int) -> tuple[int, bytes]:
        return offset, self.content[offset : offset + min(bytes_max, self.piece)]

    def times(self) -> Times:
        return self.stamps


@given(logs, st.integers(1, 5), st.integers(1, 5))
def test_the_last_lines_are_those(content: bytes, count: int, piece: int) -> None:
    """A traceback without its last line does not tell what went wrong."""
    begin = LogView(tail_lines=count).begin(HeldLog(content, piece))
    lines = re.findall(rb"[^\n]*\n|[^\n]+", content)
    assert content[begin:] == b"".join(lines[-count:])


def test_since_a_time_is_from_the_next_stamp_on() -> None:
    """Somebody who looks again after lunch has read what is before."""
    log = HeldLog(b"one\ntwo\nthree\n", stamps=[(0, 1000), (4, 2000), (8, 3000)])
    assert [LogView(since_ms=since).begin(log) for since in (1, 1500, 3000)] == [0, 4, 8]
    assert LogView(since_ms=3001).begin(log) == len(log.content), "nothing was written since"
    assert LogView(since_ms=1500, tail_lines=1).begin(log) == 8


@given(logs, st.integers(1, 5))
def test_stamps_are_all_that_is_added(content: bytes, piece: int) -> None:
    """A line that is torn by its stamp is read as two."""
    stamped, shown, offset = Stamped(), b"", 0
    while offset < len(content):
        part = content[offset : offset + piece]
        shown += b"".join(stamped.parts(offset, part, [(0, 0)]))
        offset += len(part)
    assert shown.replace(b"1970-01-01T00:00:00Z ", b"") == content
    assert shown.count(b"1970-") == len(re.findall(rb"[^\n]*\n|[^\n]+", content))


@given(logs, st.integers(1, 5), st.data())
def test_who_goes_on_in_the_middle_sees_the_same(content: bytes, piece: int, data: st.DataObject) -> None:
    """A reader whose line was cut would see a stamp in the middle of a line, or a line without."""
    whole = b"".join(Stamped().parts(0, content, [(0, 0)]))
    stamped, shown, offset = Stamped(), b"", 0
    while offset < len(content):
        shown += b"".join(stamped.parts(offset, content[offset : offset + piece], [(0, 0)]))
        offset = stamped.end
        if data.draw(st.booleans()):
            stamped = Stamped(at_begin=content[offset - 1 : offset] == b"\n")
    assert shown == whole


def test_a_line_has_the_time_of_its_beginning() -> None:
    """Two lines an hour apart that show the same time hide where it was spent."""
    shown = b"".join(Stamped().parts(0, b"one\ntwo\n", [(0, 0), (4, 3_600_000)]))
    assert shown == b"1970-01-01T00:00:00Z one\n1970-01-01T01:00:00Z two\n"
    assert b"".join(Stamped().parts(0, b"one\n", [])) == b"- one\n"
