"""Traces as the store keeps them: which span is the root, whose a trace is, what a listing says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from suanmesh_kernel.refusals import InvalidArgument

PARTY = "suanmesh.party"
SITE = "suanmesh.site"
AGENT = "agent"
_NAME = re.compile(r"traces/([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Span:
    """One span."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    service: str
    kind: str
    start_ns: int
    end_ns: int
    error: bool
    status_message: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Summary:
    """A trace without its spans."""

    trace_id: str
    root: str
    start_ns: int
    end_ns: int
    spans: int


def trace_id(name: str) -> str:
    """The id in `traces/{trace}`.

    Raises InvalidArgument (`FIELD_INVALID`).
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidArgument("FIELD_INVALID", f"name: {name[:80]!r} is not traces/ and 32 hex digits", field="name")
    return match.group(1)


def root(spans: Sequence[Span]) -> Span | None:
    """The earliest span whose parent is not in the trace.

    Whoever joins a trace later, with an id that was not theirs, does not become its root.
    """
    ids = {span.span_id for span in spans}
    orphans = (span for span in spans if span.parent_span_id not in ids)
    return min(orphans, key=lambda span: (span.start_ns, span.span_id), default=None)


def told_by(site: str, span: Span) -> Span:
    """A span as the word of a site: it speaks as the site's agent, and not of whose the trace is."""
    attributes = {key: value for key, value in span.attributes.items() if key != PARTY}
    return replace(span, service=AGENT, attributes=attributes | {SITE: site})


def belongs_to(spans: Sequence[Span], party: str) -> bool:
    """Whether `party` began the trace, by the word of the node's own services: a site may write into any trace."""
    first = root([span for span in spans if span.service != AGENT])
    return first is not None and party != "" and first.attributes.get(PARTY) == party


def services(spans: Sequence[Span]) -> list[str]:
    """All services in a trace, sorted."""
    return sorted({span.service for span in spans})
