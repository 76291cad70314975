"""Traces: whose they are, and how they are named and paged."""

from __future__ import annotations

import pytest

from suanmesh_gateway.domain import pages, traces
from suanmesh_gateway.domain.traces import Span, Summary
from suanmesh_kernel.refusals import InvalidArgument

TRACE = "ab" * 16


def a_span(span_id: str, parent: str = "", start_ns: int = 0, party: str = "", service: str = "gateway") -> Span:
    attributes = {traces.PARTY: party} if party else {}
    return Span(TRACE, span_id, parent, "n", service, "SERVER", start_ns, start_ns + 5, False, "", attributes)


def test_a_trace_belongs_to_the_party_whose_call_began_it() -> None:
    """A user must see the trace of their own job, and nobody else's."""
    spans = [a_span("b", "a", 2, "parties/other"), a_span("a", "", 1, "parties/p")]

    assert traces.belongs_to(spans, "parties/p")
    assert not traces.belongs_to(spans, "parties/other")
    assert not traces.belongs_to(spans, "")


def test_joining_a_trace_later_does_not_give_it_away() -> None:
    """A caller may send any traceparent; it must not open other people's traces."""
    spans = [a_span("a", "", 1, "parties/p"), a_span("x", "ffff", 9, "parties/thief")]

    assert not traces.belongs_to(spans, "parties/thief")


def test_a_site_cannot_give_a_trace_away() -> None:
    """A site sees the trace ids of the jobs it runs; it must not open them to its own people."""
    forged = a_span("x", "ffff", 0, "parties/site-owner", service="gateway")
    spans = [a_span("a", "", 1, "parties/p"), traces.told_by("sites/s", forged)]

    assert traces.belongs_to(spans, "parties/p")
    assert not traces.belongs_to(spans, "parties/site-owner")


def test_what_a_site_tells_bears_its_name() -> None:
    """Who is on call must not be led to blame a service for what a site wrote."""
    told = traces.told_by("sites/s", a_span("x", "a", 3, "parties/p", service="scheduler"))

    assert (told.service, told.attributes) == ("agent", {traces.SITE: "sites/s"})


def test_a_trace_whose_caller_traces_too_still_has_a_root() -> None:
    """The parent of the first span may live in the user's own process, which sends us nothing."""
    first = traces.root([a_span("b", "a", 2), a_span("a", "user", 1)])

    assert first is not None
    assert first.span_id == "a"


@pytest.mark.parametrize("name", ["", "traces/", "traces/xyz", f"traces/{TRACE.upper()}", TRACE])
def test_a_malformed_name_is_refused(name: str) -> None:
    """A typing error must not read as a trace that was dropped."""
    with pytest.raises(InvalidArgument, match="FIELD_INVALID"):
        traces.trace_id(name)


def test_a_page_token_leads_on() -> None:
    """Listing must neither skip nor repeat a trace."""
    last = Summary(TRACE, "r", 123, 456, 1)

    assert pages.before(pages.token(last)) == (123, TRACE)
    with pytest.raises(InvalidArgument, match="PAGE_TOKEN_INVALID"):
        pages.before("nonsense")
