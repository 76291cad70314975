"""A trace as a tree: who did what under whom, when, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.gateway.v1.trace_pb2 import Span, Trace
from suanmesh_cli import values
from suanmesh_cli.layout import Column
from suanmesh_cli.names import short
from suanmesh_cli.output import View, sentence
from suanmesh_cli.tables import table

FOLD_FROM = 3
"""So many equal childless siblings in a row become one line."""


@dataclass(slots=True)
class Branch:
    """A span with what happened under it."""

    span: Span
    children: list[Branch] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the tree."""

    depth: int
    label: str
    service: str
    offset_us: int
    duration_us: int
    error: str


COLUMNS = (
    Column("SPAN", lambda row: "  " * row.depth + row.label),
    Column("SERVICE", lambda row: row.service, rank=1),
    Column("AT", lambda row: values.duration_us(row.offset_us), rank=2),
    Column("DURATION", lambda row: values.duration_us(row.duration_us)),
    Column("ERROR", lambda row: row.error, fold=True),
)


SPAN_COLUMNS = (
    Column("TRACE", lambda pair: short(pair[0].name)),
    Column("SPAN", lambda pair: pair[1].span_id),
    Column("PARENT", lambda pair: pair[1].parent_span_id),
    Column("NAME", lambda pair: pair[1].name),
    Column("SERVICE", lambda pair: pair[1].service),
    Column("STARTED", lambda pair: pair[1].start_time),
    Column("DURATION", lambda pair: values.duration_us(pair[1].duration_us)),
    Column("ERROR", lambda pair: pair[1].status_message or ("ERROR" if pair[1].error else "")),
)
"""Of a span beside its trace, for other programs."""


def trace(view: View, shown: Trace, *, fold: bool = True) -> list[str]:
    """The span tree with offsets and durations; equal small siblings folded unless told otherwise."""
    roots = forest(shown.spans)
    head = f"{shown.name}  {len(shown.spans)} spans, {len(shown.services)} services: {', '.join(shown.services)}"
    notes = [] if len(roots) <= 1 else [f"{len(roots) - 1} spans whose parent has not arrived"]
    made = table(view, rows(roots, fold=fold), COLUMNS, stands_out=lambda row: bool(row.error))
    return [*sentence(view, head), *made, *notes]


def forest(spans: Sequence[Span]) -> list[Branch]:
    """The trees the spans form, by start time; a span whose parent is not there is a root."""
    branches = {span.span_id: Branch(span) for span in spans}
    roots: list[Branch] = []
    for branch in sorted(branches.values(), key=lambda each: _start_us(each.span)):
        parent = branches.get(branch.span.parent_span_id)
        (roots if parent is None or parent is branch else parent.children).append(branch)
    return roots


def rows(roots: Sequence[Branch], *, fold: bool) -> list[Row]:
    """The lines of the trees, depth first."""
    if not roots:
        return []
    origin = min(_start_us(root.span) for root in roots)
    found: list[Row] = []
    pending = [(0, group) for group in reversed(_groups(roots, fold))]
    while pending:  # not recursive: a trace is as deep as its makers like
        depth, group = pending.pop()
        found.append(_row(depth, group, origin))
        if len(group) == 1:
            pending += [(depth + 1, below) for below in reversed(_groups(group[0].children, fold))]
    return found


def _groups(branches: Sequence[Branch], fold: bool) -> list[list[Branch]]:
    """Runs of equal childless siblings, where they are long enough to be in the way; else each by itself."""
    runs: list[list[Branch]] = []
    for branch in branches:
        if runs and not branch.children and not runs[-1][0].children and _kind(branch) == _kind(runs[-1][0]):
            runs[-1].append(branch)
        else:
            runs.append([branch])
    groups: list[list[Branch]] = []
    for run in runs:
        groups += [run] if fold and len(run) >= FOLD_FROM else [[branch] for branch in run]
    return groups


def _row(depth: int, group: Sequence[Branch], origin_us: int) -> Row:
    first = group[0].span
    label = _label(first) if len(group) == 1 else f"{_label(first)} ×{len(group)}"
    error = next((each.span.status_message or "error" for each in group if each.span.error), "")
    duration = sum(each.span.duration_us for each in group)
    return Row(depth, label, first.service, _start_us(first) - origin_us, duration, error)


def _label(span: Span) -> str:
    """The span's name without what repeats in every line; an arrow where it asks another process."""
    name = span.name
    if name.startswith("suanmesh."):
        name = name.rsplit(".", 1)[-1]
    return f"→ {name}" if span.kind == "CLIENT" else name


def _kind(branch: Branch) -> tuple[str, str, bool]:
    return branch.span.service, _label(branch.span), branch.span.error


def _start_us(span: Span) -> int:
    start: Timestamp = span.start_time
    return start.seconds * 1_000_000 + start.nanos // 1000
