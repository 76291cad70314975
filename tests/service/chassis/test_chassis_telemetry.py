"""What a call leaves behind on both sides: one span, one sample with its trace, one line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.exposition import generate_latest

from suanmesh_chassis import Served
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe, Probes
from suanmesh_chassis.testing import LoopbackNode
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.status import MESSAGE_LENGTH_MAX
from suanmesh_telemetry import span
from suanmesh_telemetry.logs import VALUE_LENGTH_MAX, configure_logs
from suanmesh_telemetry.testing import ended_spans, record_spans, recorded_spans


def method_of(mesh: Any, name: str) -> Any:
    return mesh.channel("probe").unary_unary(f"/{SERVICE}/{name}", Probe.SerializeToString, Probe.FromString)


@pytest.fixture
async def quiet_node(tmp_path: Path) -> Any:
    """A node that keeps no traces that begin with a read."""
    record_spans()
    async with LoopbackNode(tmp_path, sample_reads=0.0) as node:
        yield node


def by_kind(spans: list[Any]) -> dict[str, Any]:
    found = {each.kind.name: each for each in spans}
    assert len(found) == len(spans), "more than one span of a kind"
    return found


async def test_both_sides_of_a_call_are_one_trace(node: LoopbackNode, address: str) -> None:
    """A trace that breaks at the wire shows everything but the way."""
    read = method_of(node.mesh(address, traced=True), "Read")

    await read(Probe(text="hello"))

    found = by_kind(await ended_spans(2))
    client, server = found["CLIENT"], found["SERVER"]
    assert (client.parent, server.parent.span_id) == (None, client.context.span_id)
    assert client.context.trace_id == server.context.trace_id
    assert client.name == server.name == f"{SERVICE}/Read"
    assert f"{client.attributes['server.address']}:{client.attributes['server.port']}" == address


async def test_a_refused_call_ends_both_spans_once(node: LoopbackNode, address: str) -> None:
    """A span that is never ended is never seen."""
    read = method_of(node.mesh(address, traced=True), "Read")
    with pytest.raises(Refusal):
        await read(Probe(text="refuse"))

    found = by_kind(await ended_spans(2))
    assert {each.attributes["rpc.response.status_code"] for each in found.values()} == {"FAILED_PRECONDITION"}
    assert {each.attributes["error.type"] for each in found.values()} == {"PROBE_SAD"}
    assert found["CLIENT"].status.status_code.name == "ERROR"
    assert found["SERVER"].status.status_code.name == "UNSET"


async def test_a_trace_that_begins_with_a_change_is_always_kept(quiet_node: LoopbackNode, probes: Probes) -> None:
    """A user asks about the job that failed, not about the one we happened to keep."""
    at = await quiet_node.serve(quiet_node.process("probe"), [Served(PROBE_SERVICE, probes)], requests=probes)
    mesh = quiet_node.mesh(at)

    answer = await method_of(mesh, "Read")(Probe(text="hello"))
    await method_of(mesh, "Change")(Probe(text="buy"))

    assert answer.traceparent.endswith("-00")
    assert [each.name for each in await ended_spans(1)] == [f"{SERVICE}/Change"]


async def test_what_a_kept_trace_touches_is_kept_and_nothing_else(quiet_node: LoopbackNode, probes: Probes) -> None:
    """Half a trace misleads, and reads beside it cost room."""
    at = await quiet_node.serve(quiet_node.process("probe"), [Served(PROBE_SERVICE, probes)], requests=probes)
    read = method_of(quiet_node.mesh(at, traced=True), "Read")

    await read(Probe(text="alone"))
    with span("decide job", parent=f"00-{'a' * 32}-{'b' * 16}-00"):
        await read(Probe(text="beside"))
    assert recorded_spans() == []
    with span("decide job", parent=f"00-{'a' * 32}-{'b' * 16}-01"):
        await read(Probe(text="inside"))

    found = by_kind(await ended_spans(3))
    assert {each.context.trace_id for each in found.values()} == {int("a" * 32, 16)}
    assert found["SERVER"].parent.span_id == found["CLIENT"].context.span_id
    assert found["CLIENT"].parent.span_id == found["INTERNAL"].context.span_id


async def test_a_call_leaves_one_sample_with_its_trace(client: Any) -> None:
    """From a slow bar of a histogram one wants to go to a call that was slow."""
    labels = {"rpc_method": f"{SERVICE}/Open", "rpc_response_status_code": "OK"}
    before = REGISTRY.get_sample_value("rpc_server_call_duration_seconds_count", labels) or 0

    await client.unary("Open")

    (served,) = await ended_spans(1)
    assert REGISTRY.get_sample_value("rpc_server_call_duration_seconds_count", labels) == before + 1
    assert f'trace_id="{served.context.trace_id:032x}"' in generate_latest(REGISTRY).decode()


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a process called `probe` logs."""
    kept = io.StringIO()
    configure_logs("probe", "info", kept)
    yield kept
    structlog.reset_defaults()


@pytest.mark.parametrize("method", ["Change", "Read"])
async def test_a_caller_cannot_fill_the_log(
    node: LoopbackNode, probes: Probes, connect: Any, lines: io.StringIO, method: str
) -> None:
    """One caller with a long id would fill the disks of whoever keeps the logs and the spans."""
    at = await node.serve(node.process("probe"), [Served(PROBE_SERVICE, probes)])

    with pytest.raises(Refusal, match="REQUEST_ID_MISSING"):
        await connect(at=at).unary(method, "buy", request_id="x" * 100_000)
    (served,) = await ended_spans(1)

    assert len(lines.getvalue()) < 1_000
    assert len(str(dict(served.attributes))) < 1_000


async def test_a_refusal_that_quotes_its_caller_is_cut(
    node: LoopbackNode, probes: Probes, connect: Any, lines: io.StringIO
) -> None:
    """A name of a megabyte is a mistake once; in every log and every answer it is a second one."""
    at = await node.serve(node.process("probe"), [Served(PROBE_SERVICE, probes)])

    with pytest.raises(Refusal) as refused:
        await connect(at=at).unary("Read", "quote" + "x" * 100_000)
    structlog.get_logger().info("put off", message="x" * 100_000)

    assert len(refused.value.message) <= MESSAGE_LENGTH_MAX
    assert len(lines.getvalue()) < 2_000 + VALUE_LENGTH_MAX


async def test_a_call_leaves_one_line(node: LoopbackNode, probes: Probes, connect: Any, lines: io.StringIO) -> None:
    """Whoever looks for one failed call must find one line that says why."""
    at = await node.serve(node.process("probe"), [Served(PROBE_SERVICE, probes)])

    with pytest.raises(Refusal):
        await connect(at=at).unary("Read", "refuse")
    (served,) = await ended_spans(1)

    (line,) = [json.loads(each) for each in lines.getvalue().splitlines()]
    assert (line["event"], line["code"], line["reason"]) == ("call served", "FAILED_PRECONDITION", "PROBE_SAD")
    assert (line["trace_id"], line["area"]) == (f"{served.context.trace_id:032x}", "probe")
