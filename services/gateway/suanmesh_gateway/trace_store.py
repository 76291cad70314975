"""Traces in SQLite, bounded by age and number; every call runs off the event loop, one at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import structlog

from suanmesh_gateway.domain.traces import Span, Summary
from suanmesh_kernel.refusals import Refusal
from suanmesh_store.soundness import is_damage, set_aside
from suanmesh_store.sqlite_files import open_soft
from suanmesh_store.transactions import Worker

T = TypeVar("T")

log = structlog.get_logger()

_SCHEMA = """
CREATE TABLE IF NOT EXISTS traces (
    trace_id TEXT PRIMARY KEY, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, spans INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS traces_by_start ON traces (start_ns, trace_id);
CREATE TABLE IF NOT EXISTS spans (
    trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_span_id TEXT NOT NULL, name TEXT NOT NULL,
    service TEXT NOT NULL, kind TEXT NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    error INTEGER NOT NULL, status_message TEXT NOT NULL, attributes TEXT NOT NULL,
    PRIMARY KEY (trace_id, span_id)
) WITHOUT ROWID;
"""
_OLDEST = "SELECT trace_id, start_ns, spans FROM traces ORDER BY start_ns, trace_id"
_ADD_SPAN = "INSERT OR IGNORE INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_TO_TRACE = """
INSERT INTO traces VALUES (?1, ?2, ?3, ?4) ON CONFLICT (trace_id) DO UPDATE SET
    start_ns = min(start_ns, ?2), end_ns = max(end_ns, ?3), spans = spans + ?4
"""
_LIST = """
SELECT trace_id, start_ns, end_ns, spans, (
    SELECT name FROM spans WHERE spans.trace_id = traces.trace_id ORDER BY parent_span_id != '', start_ns LIMIT 1
) FROM traces WHERE (start_ns, trace_id) < (?, ?) ORDER BY start_ns DESC, trace_id DESC LIMIT ?
"""


class TraceStore:
    """Spans by trace. A span that arrives twice is kept once."""

    def __init__(self, path: Path, *, trace_spans_max: int) -> None:
        """Keep them in the file at `path`, which is opened or created with the first call.

        Traces may be lost: a damaged file is set aside and a new one begun, with one warning.
        """
        self._path = path
        self._trace_spans_max = trace_spans_max
        self._opened: sqlite3.Connection | None = None
        self._thread = Worker("the trace store")

    async def add(self, spans: Iterable[Span]) -> None:
        """Keep `spans`; those beyond the bound of their trace are let go."""
        await self._run(lambda: self._add(list(spans)))

    async def trace(self, trace_id: str) -> list[Span]:
        """The spans of a trace by start time; empty where none is kept."""
        return await self._run(lambda: self._trace(trace_id))

    async def newest(self, count: int, before: tuple[int, str]) -> list[Summary]:
        """Traces by start, newest first, that began before the given start and id."""
        rows = await self._run(lambda: self._connection.execute(_LIST, (*before, count)).fetchall())
        return [Summary(trace_id, root or "", start, end, spans) for trace_id, start, end, spans, root in rows]

    async def sweep(self, *, began_before_ns: int, spans_max: int) -> int:
        """Drop traces that began before a moment, then the oldest until no more than `spans_max` spans are left.

        Returns how many traces were dropped.
        """
        return await self._run(lambda: self._sweep(began_before_ns, spans_max))

    @property
    def fault(self) -> Refusal | None:
        """What kept the last call from being carried out; None where nothing did."""
        return self._thread.faults.now

    async def close(self) -> None:
        """Finish what was begun."""
        await self._thread.run(self._shut)
        await self._thread.close()

    async def _run(self, work: Callable[[], T]) -> T:
        return await self._thread.run(lambda: self._done(work))

    def _done(self, work: Callable[[], T]) -> T:
        """Do `work`, in a file begun anew where the one there is turns out to be damaged. Raises sqlite3.Error."""
        try:
            before = self._connection.total_changes
            done = work()
        except sqlite3.DatabaseError as fault:
            if not is_damage(fault):
                raise
            self._begin_anew(fault)
            return work()
        if self._connection.total_changes != before:
            self._thread.faults.passed(wrote=True)
        return done

    def _begin_anew(self, fault: sqlite3.DatabaseError) -> None:
        self._shut()
        aside = set_aside(self._path)
        log.warning("trace store begun anew", message=f"{fault}; the old one lies at {aside}")

    def _shut(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = open_soft(self._path, _SCHEMA)
        return self._opened

    def _add(self, spans: Sequence[Span]) -> None:
        by_trace: dict[str, list[Span]] = {}
        for span in spans:
            by_trace.setdefault(span.trace_id, []).append(span)
        with self._connection as connection:
            for trace_id, found in by_trace.items():
                row = connection.execute("SELECT spans FROM traces WHERE trace_id = ?", (trace_id,)).fetchone()
                taken = found[: max(0, self._trace_spans_max - (0 if row is None else row[0]))]
                added = connection.executemany(_ADD_SPAN, map(_row, taken)).rowcount
                if added > 0:
                    begin_ns, end_ns = min(each.start_ns for each in taken), max(each.end_ns for each in taken)
                    connection.execute(_ADD_TO_TRACE, (trace_id, begin_ns, end_ns, added))

    def _trace(self, trace_id: str) -> list[Span]:
        query = "SELECT * FROM spans WHERE trace_id = ? ORDER BY start_ns, span_id"
        return [_span(row) for row in self._connection.execute(query, (trace_id,))]

    def _sweep(self, began_before_ns: int, spans_max: int) -> int:
        with self._connection as connection:
            (kept,) = connection.execute("SELECT coalesce(sum(spans), 0) FROM traces").fetchone()
            dropped = []
            for trace_id, start_ns, spans in connection.execute(_OLDEST):
                if start_ns >= began_before_ns and kept <= spans_max:
                    break
                dropped.append((trace_id,))
                kept -= spans
            connection.executemany("DELETE FROM spans WHERE trace_id = ?", dropped)
            connection.executemany("DELETE FROM traces WHERE trace_id = ?", dropped)
        self._connection.execute("PRAGMA incremental_vacuum")
        return len(dropped)


def _row(span: Span) -> tuple[str | int, ...]:
    return (
        span.trace_id,
        span.span_id,
        span.parent_span_id,
        span.name,
        span.service,
        span.kind,
        span.start_ns,
        span.end_ns,
        int(span.error),
        span.status_message,
        json.dumps(dict(span.attributes), ensure_ascii=False),
    )


def _span(row: tuple[str, str, str, str, str, str, int, int, int, str, str]) -> Span:
    trace_id, span_id, parent_span_id, name, service, kind, start_ns, end_ns, error, status_message, attributes = row
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_span_id=parent_span_id,
        name=name,
        service=service,
        kind=kind,
        start_ns=start_ns,
        end_ns=end_ns,
        error=bool(error),
        status_message=status_message,
        attributes=json.loads(attributes),
    )
