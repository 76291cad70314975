"""One line on a terminal that says how far something is, how fast it goes, and when it may be over."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.cells import cell_len

from suanmesh_cli import units
from suanmesh_cli.terminal import WIDTH, width_of
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_sdk.sending import Progress

AGAIN_S = 0.2
"""How often the line is written anew."""
SETTLED_S = 5.0
"""The rate is that of about so long."""
_CLEAR = "\r\x1b[K"


@contextmanager
def following_progress(
    lang: str,
    environment: Mapping[str, str],
    stream: TextIO | None = None,
    now: Callable[[], float] = time.monotonic,
    *,
    quiet: bool = False,
) -> Iterator[Callable[[Progress], None]]:
    """What is to be told how far it is. On a terminal a line follows that, unless `quiet`; elsewhere nothing is said,
    nor on one that cannot write a line over.
    """
    stream = stream or sys.stderr
    if quiet or not stream.isatty() or environment.get("TERM") == "dumb":
        yield lambda progress: None
        return
    line = Line(lang, now)

    def tell(progress: Progress) -> None:
        text = line.after(progress, width_of(stream) or WIDTH)
        if text:
            stream.write(_CLEAR + text)
            stream.flush()

    try:
        yield tell
    finally:
        stream.write(_CLEAR)
        stream.flush()


class Line:
    """What the line says."""

    def __init__(self, lang: str, now: Callable[[], float]) -> None:
        self._lang = lang
        self._now = now
        self._said_at = now()
        self._before: tuple[float, int] | None = None
        self._rate = 0.0

    def after(self, progress: Progress, width: int = WIDTH) -> str:
        """The line, of fewer than `width` cells; empty while the one before still stands."""
        now = self._now()
        if self._before is None:
            self._before = now, progress.bytes_done
        if now - self._said_at < AGAIN_S and progress.bytes_done < progress.bytes_total:
            return ""
        self._said_at = now
        since, done = self._before
        if now > since:
            weight = min(1.0, (now - since) / SETTLED_S) if self._rate else 1.0
            self._rate += weight * ((progress.bytes_done - done) / (now - since) - self._rate)
            self._before = now, progress.bytes_done
        return self._text(progress, width)

    def _text(self, progress: Progress, width: int) -> str:
        share = 100 * progress.bytes_done // max(1, progress.bytes_total)
        done, total, rate = (
            units.size(round(count)) for count in (progress.bytes_done, progress.bytes_total, self._rate)
        )
        files = f"{progress.files_done}/{progress.files_total}"
        left_s = round((progress.bytes_total - progress.bytes_done) / self._rate) if self._rate else 0
        told = [
            Text(f"{share:3} %  {done} of {total}", f"{share:3} %  {done} / {total}"),
            Text(f", {files} files", f"，文件 {files}"),
            Text(f", {rate}/s", f"，{rate}/s"),
            Text(f", {_clock(left_s)} left", f"，还需 {_clock(left_s)}") if self._rate else Text("", ""),
        ]
        while len(told) > 1 and sum(cell_len(part.of(self._lang)) for part in told) >= width:
            del told[1]
        return "".join(part.of(self._lang) for part in told)


def _clock(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
