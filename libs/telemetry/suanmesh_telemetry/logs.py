"""Log lines: one JSON object each on stderr, a constant phrase with fields, and the trace they belong to.

Logging never fails and never waits: `lines` says what becomes of lines that cannot be written.
"""

from __future__ import annotations

import io
import json
import logging
import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, WrappedLogger

from suanmesh_telemetry.lines import QueuedLines

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(frozen=True, slots=True)
class PlainJson:
    """Where a process writes lines of JSON."""

    area: str
    lines: QueuedLines | TextIO
    info: bool
    """Whether lines of level info are written."""


VALUE_LENGTH_MAX = 2_000
"""Longest text of a field: refusals and faults quote what callers sent. Its beginning is kept."""
EXCEPTION_LENGTH_MAX = 20_000
"""Longest traceback, whose end tells what happened."""


class _Lines(structlog.WriteLoggerFactory):
    """What structlog keeps of the set-up of the process."""

    def __init__(self, lines: QueuedLines | TextIO, plain: PlainJson | None) -> None:
        super().__init__(file=cast("TextIO", lines))  # it only writes and flushes
        self.plain = plain


def plain_json() -> PlainJson | None:
    """Where this process writes lines of JSON; None where a person watches, or nothing is set up."""
    factory = structlog.get_config()["logger_factory"]
    return factory.plain if isinstance(factory, _Lines) else None


def configure_logs(area: str, level: str, stream: TextIO | None = None) -> None:
    """Set up structlog for the process: JSON, or plain text where a person watches. Without a `stream`, on stderr."""

    def placed(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["level"] = method
        event["area"] = area
        held = trace.get_current_span().get_span_context()
        if held.is_valid and held.trace_flags.sampled:
            event["trace_id"] = format(held.trace_id, "032x")
            event["span_id"] = format(held.span_id, "016x")
        return event

    lines, watched = _lines_of(area, stream)
    plain = None if watched else PlainJson(area, lines, LEVELS[level] <= logging.INFO)
    written = structlog.dev.ConsoleRenderer() if watched else structlog.processors.JSONRenderer(_json)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            placed,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.ExceptionRenderer(),
            _bounded,
            written,
        ],
        wrapper_class=_unfailing(structlog.make_filtering_bound_logger(LEVELS[level]), area, lines),
        logger_factory=_Lines(lines, plain),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Foreign(lines)], force=True)


def plain_line(area: str, level: str, event: str, **fields: object) -> str:
    """A line made without structlog, for where that has failed or cannot be used."""
    told = {"event": event, "level": level, "area": area, **fields, "time": f"{datetime.now(UTC).isoformat()}"}  # noqa: TID251
    return _encode(told) + "\n"


def _lines_of(area: str, stream: TextIO | None) -> tuple[QueuedLines | TextIO, bool]:
    """Where lines are written, and whether a person watches there."""
    stream = stream or sys.stderr
    if isinstance(stream, io.StringIO):
        return stream, False

    def told(dropped: int) -> str:
        return plain_line(area, "warning", "log lines dropped", dropped=dropped)

    _open_standard_files()
    if stream is None:  # the process was begun with a stderr that is closed
        return QueuedLines(-1, told), False
    own = os.dup(stream.fileno())
    if stream is sys.stderr:
        _let_others_drop(stream.fileno())
    return QueuedLines(own, told), stream.isatty()


def _open_standard_files() -> None:
    """A closed stdin, stdout or stderr is opened on nothing: else the next file or socket would be taken for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def _let_others_drop(fd: int) -> None:
    """Where `fd` is a pipe, whoever else writes to it, such as gRPC's core, drops what does not fit and goes on.

    The pipe is opened anew for that, since the flag of an open file is shared with all who inherited it.
    """
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        return
    with suppress(OSError):
        again = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)
        os.dup2(again, fd)
        os.close(again)


def _unfailing(base: Any, area: str, lines: QueuedLines | TextIO) -> Any:
    """`base`, which says in a line of its own that a line could not be made, instead of failing who logged it."""

    class Unfailing(base):  # type: ignore[misc]
        def _proxy_to_logger(self, method: str, event: str | None = None, /, *args: Any, **fields: Any) -> Any:
            try:
                return super()._proxy_to_logger(method, event, *args, **fields)
            except Exception as failure:  # noqa: BLE001 - whatever a value does when it is shown
                why = type(failure).__name__
                lines.write(plain_line(area, method, str(event), message=f"the line cannot be made: {why}"))
                return None

    return Unfailing


class _Foreign(logging.Handler):
    """Lines of libraries that log by the standard library."""

    def __init__(self, lines: QueuedLines | TextIO) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self.format(record)
        except Exception as failure:  # noqa: BLE001 - a library's arguments do not fit its text
            message = f"{record.msg}: the line cannot be made: {type(failure).__name__}"
        level = record.levelname.lower()
        line = plain_line(record.name, level, "library says", message=message[:EXCEPTION_LENGTH_MAX])
        self._lines.write(line)


def _bounded(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if key == "exception":
            event[key] = value[-EXCEPTION_LENGTH_MAX:]
        elif isinstance(value, str):
            event[key] = value[:VALUE_LENGTH_MAX]
    return event


_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _json(event: EventDict, **_: object) -> str:
    return _encode(event)
