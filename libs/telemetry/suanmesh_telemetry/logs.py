"""Log lines: one JSON object each on stderr, a constant phrase with fields, and the trace they belong to."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from typing import TextIO

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, WrappedLogger

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(frozen=True, slots=True)
class PlainJson:
    """Where a process writes lines of JSON."""

    area: str
    stream: TextIO
    info: bool
    """Whether lines of level info are written."""


VALUE_LENGTH_MAX = 2_000
"""Longest text of a field: refusals and faults quote what callers sent. Its beginning is kept."""
EXCEPTION_LENGTH_MAX = 20_000
"""Longest traceback, whose end tells what happened."""

_plain_json: PlainJson | None = None


def plain_json() -> PlainJson | None:
    """Where this process writes lines of JSON; None where a person watches, or nothing is set up."""
    return _plain_json


def configure_logs(area: str, level: str, stream: TextIO = sys.stderr) -> None:
    """Set up structlog for the process: JSON, or plain text where a person watches."""

    def placed(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["level"] = method
        event["area"] = area
        held = trace.get_current_span().get_span_context()
        if held.is_valid and held.trace_flags.sampled:
            event["trace_id"] = format(held.trace_id, "032x")
            event["span_id"] = format(held.span_id, "016x")
        return event

    global _plain_json  # noqa: PLW0603 - the set-up of structlog, which is the process', is taken note of beside it
    _plain_json = None if stream.isatty() else PlainJson(area, stream, LEVELS[level] <= logging.INFO)
    written = structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer(_json)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            placed,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.ExceptionRenderer(),
            _bounded,
            written,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream, format=_FOREIGN, force=True)


def _bounded(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if key == "exception":
            event[key] = value[-EXCEPTION_LENGTH_MAX:]
        elif isinstance(value, str):
            event[key] = value[:VALUE_LENGTH_MAX]
    return event


_FOREIGN = '{"event": "library says", "level": "%(levelname)s", "area": "%(name)s", "message": "%(message)s"}'
"""Lines of libraries that log by the standard library."""


_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _json(event: EventDict, **_: object) -> str:
    return _encode(event)
