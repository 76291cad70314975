"""The line that says how far a put or get is."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len

from suanmesh_cli.progress import AGAIN_S, Line, following_progress
from suanmesh_kernel.clock import HandClock
from suanmesh_sdk.sending import Progress

MIB = 1 << 20


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_says_how_far_how_fast_and_how_long() -> None:
    """Whoever waits decides by it whether to go for lunch."""
    clock = HandClock()
    line = Line("en", clock.monotonic)
    line.after(Progress(0, 1000 * MIB, 0, 30_000))
    clock.advance(2)
    assert line.after(Progress(250 * MIB, 1000 * MIB, 7500, 30_000)) == (
        " 25 %  250.0 MiB of 1000.0 MiB, 7500/30000 files, 125.0 MiB/s, 0:06 left"
    )


def test_what_had_come_before_does_not_count_as_fast() -> None:
    """A get that goes on after an hour would promise to be over in a second."""
    clock = HandClock()
    line = Line("zh", clock.monotonic)
    line.after(Progress(900 * MIB, 1000 * MIB, 9, 10))
    clock.advance(10)
    assert "1.0 MiB/s，还需 1:30" in line.after(Progress(910 * MIB, 1000 * MIB, 9, 10))


def test_the_line_is_not_written_for_every_message() -> None:
    """A terminal over a slow line must not hold up the data."""
    clock = HandClock()
    line = Line("en", clock.monotonic)
    line.after(Progress(0, 10, 0, 1))
    clock.advance(AGAIN_S / 2)
    assert line.after(Progress(5, 10, 0, 1)) == ""
    assert line.after(Progress(10, 10, 1, 1)) != ""


@pytest.mark.parametrize(("stream", "said"), [(Terminal(), True), (io.StringIO(), False)], ids=["terminal", "pipe"])
def test_only_a_terminal_sees_it(stream: io.StringIO, said: bool) -> None:
    """A log of a script must not fill with half lines."""
    with following_progress("en", {"TERM": "xterm"}, stream) as tell:
        tell(Progress(10, 10, 1, 1))
    assert bool(stream.getvalue()) is said


def test_whoever_wants_quiet_sees_none() -> None:
    """A program that shows a terminal of its own to somebody would have lines written over it."""
    stream = Terminal()
    with following_progress("en", {"TERM": "xterm"}, stream, quiet=True) as tell:
        tell(Progress(10, 10, 1, 1))
    assert stream.getvalue() == ""


def test_a_terminal_that_cannot_write_over_a_line_sees_none() -> None:
    """An editor's shell would show a thousand of them, each with the marks in between."""
    stream = Terminal()
    with following_progress("en", {"TERM": "dumb"}, stream) as tell:
        tell(Progress(10, 10, 1, 1))
    assert stream.getvalue() == ""


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_line_stays_one_line(lang: str, width: int) -> None:
    """One that has no room goes on in the next, where nothing clears it: each fifth of a second one more."""
    clock = HandClock()
    line = Line(lang, clock.monotonic)
    line.after(Progress(0, 147 << 30, 0, 1_281_167))
    clock.advance(2)
    shown = line.after(Progress(1234 * MIB, 147 << 30, 1_000_000, 1_281_167), width)
    assert cell_len(shown) < width
    assert "0 %" in shown
    assert "4:02" in shown
