"""What the wrapper promises for each kind of call and each way it may end: one answer, one span, one stated reason."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc
import pytest

from suanmesh_chassis.probe import Probe
from suanmesh_kernel.refusals import Refusal
from suanmesh_telemetry.testing import ended_spans, recorded_spans

TRACE = "a" * 32
PARENT = (("traceparent", f"00-{TRACE}-{'b' * 16}-01"),)


async def refused(call: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await call
    return caught.value


def told(span: Any) -> tuple[str, str]:
    return span.name.rsplit("/", 1)[-1], span.attributes["rpc.response.status_code"]


async def test_a_call_is_answered_under_its_caller_and_trace(client: Any) -> None:
    """Without the caller's name and the trace a service can neither judge nor be traced."""
    answer = await client.unary("Read", "hello", metadata=PARENT)

    (span,) = await ended_spans(1)
    assert answer.text == "spiffe://test/party/acme/user/ann hello"
    assert answer.traceparent == f"00-{TRACE}-{span.context.span_id:016x}-01"
    assert told(span) == ("Read", "OK")
    assert span.attributes["rpc.method"] == "suanmesh.probe.v1.ProbeService/Read"
    assert (span.kind.name, span.parent.span_id) == ("SERVER", int("b" * 16, 16))


async def test_a_refusal_crosses_the_wire_whole(client: Any) -> None:
    """A caller who gets a bare code cannot tell what to do next."""
    refusal = await refused(client.unary("Read", "refuse"))

    assert (refusal.code, refusal.reason, refusal.domain) == ("FAILED_PRECONDITION", "PROBE_SAD", "probe.suanmesh")
    assert refusal.facts == {"mood": "low"}
    assert set(refusal.localized) == {"en", "zh"}
    (span,) = await ended_spans(1)
    assert told(span) == ("Read", "FAILED_PRECONDITION")
    assert (span.status.status_code.name, span.attributes["error.type"]) == ("UNSET", "PROBE_SAD")


async def test_a_defect_shows_a_trace_id_and_nothing_else(client: Any) -> None:
    """A traceback on the wire tells strangers about our insides."""
    refusal = await refused(client.unary("Read", "break"))

    assert (refusal.code, refusal.message) == ("INTERNAL", "internal error")
    (span,) = await ended_spans(1)
    assert (told(span), span.status.status_code.name) == (("Read", "INTERNAL"), "ERROR")


async def test_a_handler_stops_when_the_time_runs_out(client: Any, probes: Any) -> None:
    """Work that nobody waits for any more would pile up."""
    refusal = await refused(client.unary("Read", "wait", timeout=0.1))

    assert refusal.code == "DEADLINE_EXCEEDED"
    async with asyncio.timeout(60):
        await probes.closed.wait()
    (span,) = await ended_spans(1)
    assert told(span) == ("Read", "DEADLINE_EXCEEDED")


async def test_a_handler_stops_when_the_client_goes(client: Any, probes: Any) -> None:
    """A user who pressed Ctrl-C must not leave work behind."""
    task = asyncio.get_running_loop().create_task(client.unary("Read", "wait"))
    async with asyncio.timeout(60):
        await probes.begun.wait()
        task.cancel()
        await probes.closed.wait()
    (span,) = await ended_spans(1)
    assert told(span) == ("Read", "CANCELLED")


async def test_a_stream_is_answered_to_its_end(client: Any) -> None:
    """A list that stops early looks like a short list."""
    texts = [answer.text async for answer in client.server_stream("List")]

    assert texts == ["0", "1", "2"]
    assert told((await ended_spans(1))[0]) == ("List", "OK")


async def test_a_stream_that_is_refused_half_way_says_why(client: Any) -> None:
    """What came before the refusal must not look like the whole."""
    texts = []
    call = client.server_stream("List", "refuse")
    with suppress(grpc.aio.AioRpcError):
        async for answer in call:
            texts.append(answer.text)

    assert (texts, await call.code()) == (["0", "1", "2"], grpc.StatusCode.FAILED_PRECONDITION)
    assert told((await ended_spans(1))[0]) == ("List", "FAILED_PRECONDITION")


async def test_a_stream_that_the_client_breaks_off_is_closed_at_once(client: Any, probes: Any) -> None:
    """A watcher who left must not be served for ever."""
    call = client.server_stream("List", "endless")
    async for _ in call:
        break
    call.cancel()

    async with asyncio.timeout(60):
        await probes.closed.wait()
    assert told((await ended_spans(1))[0]) == ("List", "CANCELLED")


async def test_a_stream_that_nobody_reads_ends_with_its_deadline(client: Any, probes: Any) -> None:
    """A client that opens streams and forgets them must not tie up the server."""
    call = client.server_stream("List", "endless", timeout=0.3)

    async with asyncio.timeout(60):
        await probes.closed.wait()
    assert told((await ended_spans(1))[0])[0] == "List"
    assert await call.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_many_requests_are_answered_once(client: Any) -> None:
    """A batch must arrive in its order."""
    answer = await client.client_stream("Gather", ["a", "b", "c"])

    assert answer.text == "a b c"
    assert told((await ended_spans(1))[0]) == ("Gather", "OK")


async def test_many_requests_are_answered_one_by_one(client: Any) -> None:
    """Both directions are open at once."""
    texts = [answer.text async for answer in client.bidi("Talk", ["a", "b"])]

    assert texts == ["A", "B"]
    assert told((await ended_spans(1))[0]) == ("Talk", "OK")


async def test_a_stream_of_soft_state_is_never_traced_and_needs_no_deadline(client: Any) -> None:
    """A span that lasts for days is of no use to anybody."""
    answers = [answer async for answer in client.bidi("Feed", ["a"], metadata=PARENT, timeout=None)]

    assert answers[0].traceparent.endswith("-00")
    assert recorded_spans() == []


async def test_an_unknown_method_is_refused_by_name(client: Any) -> None:
    """A client newer than the server must be told so."""
    refusal = await refused(client.unary("Dance"))

    assert (refusal.code, refusal.reason, refusal.domain) == ("UNIMPLEMENTED", "METHOD_UNKNOWN", "mesh.suanmesh")
    assert refusal.facts["method"].endswith("/Dance")


async def test_a_message_that_cannot_be_read_is_refused(client: Any) -> None:
    """gRPC itself would call it INTERNAL, as if it were our fault."""
    refusal = await refused(client.unary("Read", raw=b"\xff\xff\xff"))

    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "MESSAGE_MALFORMED")


async def test_a_field_that_is_too_large_is_refused_with_its_bound(client: Any) -> None:
    """A caller with one text of a megabyte in a small message would have it kept, logged and put on a span."""
    refusal = await refused(client.unary("Read", raw=Probe(traceparent="x" * 65).SerializeToString()))

    assert (refusal.code, refusal.reason, refusal.domain) == ("INVALID_ARGUMENT", "FIELD_INVALID", "mesh.suanmesh")
    assert refusal.facts == {"field": "traceparent", "bytes": "65", "max_bytes": "64"}
    assert "max_bytes=64" in refusal.localized["zh"]


async def test_a_field_within_a_stream_is_bounded_too(client: Any) -> None:
    """A stream is as good a way in as a call."""
    with pytest.raises(grpc.aio.AioRpcError, match="text: holds the control or invisible character"):
        await client.client_stream("Gather", ["one", "two\0"])


async def test_text_that_is_no_utf8_is_refused(client: Any) -> None:
    """Bytes that are no text would break whoever logs or keeps them."""
    refusal = await refused(client.unary("Read", raw=b"\x0a\x02\xff\xfe"))

    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "MESSAGE_MALFORMED")


async def test_a_message_that_is_too_large_is_refused_with_the_limit(client: Any) -> None:
    """gRPC itself would not say what the limit is."""
    refusal = await refused(client.unary("Read", "x" * 5_000_000, timeout=10))

    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE")
    assert refusal.facts["limit_bytes"] == str(4 * 1024 * 1024)


async def test_a_call_without_a_deadline_is_refused(client: Any) -> None:
    """A call that may wait for ever will."""
    refusal = await refused(client.unary("Read", timeout=None))

    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "DEADLINE_MISSING")


async def test_a_repeated_request_id_gets_its_old_answer(client: Any, probes: Any) -> None:
    """A retry after a lost answer must not buy twice."""
    first = await client.unary("Change", "buy", request_id="r1")
    again = await client.unary("Change", "buy", request_id="r1")

    assert (first.text, again.text, probes.changes) == ("change 1", "change 1", 1)


async def test_a_request_id_with_another_body_is_refused(client: Any) -> None:
    """Two different wishes under one id: one of them would be lost in silence."""
    await client.unary("Change", "buy", request_id="r1")
    refusal = await refused(client.unary("Change", "sell", request_id="r1"))

    assert (refusal.code, refusal.reason, refusal.facts["field"]) == (
        "INVALID_ARGUMENT",
        "REQUEST_ID_REUSED",
        "request_id",
    )


async def test_a_change_without_a_request_id_is_refused(client: Any, probes: Any) -> None:
    """Without one a retry could not be told from a second wish."""
    refusal = await refused(client.unary("Change", "buy"))

    assert (refusal.code, refusal.reason, probes.changes) == ("INVALID_ARGUMENT", "REQUEST_ID_MISSING", 0)
