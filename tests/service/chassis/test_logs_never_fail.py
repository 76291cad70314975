"""A log that cannot be written costs lines, never calls: the effect of a call is there whether or not it was logged."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from prometheus_client import REGISTRY

from suanmesh_chassis import Served
from suanmesh_chassis.probe import PROBE_SERVICE, Probes
from suanmesh_chassis.testing import LoopbackNode
from suanmesh_kernel.refusals import Refusal
from suanmesh_telemetry import span
from suanmesh_telemetry.lines import QueuedLines
from suanmesh_telemetry.logs import configure_logs, plain_json
from suanmesh_telemetry.testing import record_spans, recorded_spans
from suanmesh_telemetry.traces import CountingExporter

CALLS = 50


@pytest.fixture(autouse=True)
def logs_end_here() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def dropped() -> float:
    return REGISTRY.get_sample_value("suan_log_lines_dropped_total") or 0.0


def log_to(fd: int) -> QueuedLines:
    """From now on this process logs into `fd`."""
    configure_logs("probe", "info", os.fdopen(fd, "w", closefd=False))
    held = plain_json()
    assert held is not None
    assert isinstance(held.lines, QueuedLines)
    return held.lines


async def calls_made(node: LoopbackNode, probes: Probes, connect: Any) -> int:
    """How many of `CALLS` that change something were answered, and did what they were asked to."""
    at = await node.serve(node.process("probe"), [Served(PROBE_SERVICE, probes)])
    client = connect(at=at)
    for number in range(CALLS):
        await client.unary("Change", "buy", request_id=f"r{number}")
    return probes.changes


async def all_dropped(before: float) -> None:
    """Wait until no line of the calls has come through: a line is written once its call has been answered."""
    async with asyncio.timeout(60):
        while dropped() - before < CALLS:  # noqa: ASYNC110 - written by a thread
            await asyncio.sleep(0.01)


async def test_a_full_disk_breaks_no_call(node: LoopbackNode, probes: Probes, connect: Any) -> None:
    """A buyer whose payment went through must not be told INTERNAL because the log's disk is full."""
    fd, before = os.open("/dev/full", os.O_WRONLY), dropped()
    lines = log_to(fd)

    assert await calls_made(node, probes, connect) == CALLS
    await all_dropped(before)
    await asyncio.to_thread(lines.close, 60)
    os.close(fd)

    assert dropped() - before == CALLS


async def test_the_log_of_a_defect_is_no_second_defect(
    node: LoopbackNode, probes: Probes, connect: Any, tmp_path: Path
) -> None:
    """A caller is shown INTERNAL and the log the traceback, also where a field of the line is called method."""
    log = tmp_path / "log"
    lines = log_to(os.open(log, os.O_WRONLY | os.O_CREAT))
    at = await node.serve(node.process("probe"), [Served(PROBE_SERVICE, probes)])
    with pytest.raises(Refusal) as caught:
        await connect(at=at).unary("Read", "break")
    async with asyncio.timeout(60):
        while "ZeroDivisionError" not in log.read_text():  # noqa: ASYNC110 - one local file, of a thread
            await asyncio.sleep(0.01)
    await asyncio.to_thread(lines.close, 60)

    assert (caught.value.code, caught.value.message) == ("INTERNAL", "internal error")
    assert "ZeroDivisionError" in log.read_text()


async def test_a_reader_that_has_gone_breaks_no_call(node: LoopbackNode, probes: Probes, connect: Any) -> None:
    """Whoever collects the logs may be restarted without a word to the services."""
    reading, writing = os.pipe()
    os.close(reading)
    before, lines = dropped(), log_to(writing)

    assert await calls_made(node, probes, connect) == CALLS
    await all_dropped(before)
    await asyncio.to_thread(lines.close, 60)
    os.close(writing)

    assert dropped() - before == CALLS


async def test_a_reader_that_has_stopped_keeps_no_call_waiting(
    node: LoopbackNode, probes: Probes, connect: Any
) -> None:
    """A collector that hangs would hang the whole node; once it reads again, it is told what it has missed."""
    reading, writing = os.pipe()
    lines = QueuedLines(writing, lambda count: json.dumps({"dropped": count}) + "\n", chars_max=1 << 20)
    for _ in range(1_000):
        lines.write("x" * 10_000 + "\n")
    blocked = log_to(writing)  # the same pipe, which takes nothing any more

    assert await calls_made(node, probes, connect) == CALLS
    os.close(writing)
    taken = await asyncio.to_thread(_read_until, reading, b'"dropped"')
    await asyncio.to_thread(lines.close, 0)
    rest = await asyncio.to_thread(_read_until, reading, b"call served")
    blocked.close(0)
    os.close(reading)

    (told,) = [line for line in taken.splitlines() if line.startswith(b'{"dropped"')]
    assert json.loads(told)["dropped"] >= 800
    assert b"call served" in taken + rest


async def test_a_field_may_have_any_name() -> None:
    """What a handler's defect is logged with includes its `method`: the log would fail just when it is needed."""
    reading, writing = os.pipe()
    lines = log_to(writing)
    structlog.get_logger().error("handler failed", method="m", args="a", fields="f", base="b")
    await asyncio.to_thread(lines.close, 60)
    os.close(writing)

    (line,) = (await asyncio.to_thread(_read_until, reading, b"\n")).splitlines()
    os.close(reading)
    told = json.loads(line)
    assert {name: told[name] for name in ("event", "method", "args", "fields", "base")} == {
        "event": "handler failed", "method": "m", "args": "a", "fields": "f", "base": "b",
    }  # fmt: skip


FILLS = """
import pathlib, sys, time
import structlog
from suanmesh_telemetry.logs import configure_logs
from suanmesh_telemetry.metrics import LOG_LINES_DROPPED
configure_logs("probe", "info")
for number in range(100):
    structlog.get_logger().info("line", item="y" * 1_000, sequence=number)
while not LOG_LINES_DROPPED._value.get():
    time.sleep(0.01)
pathlib.Path(sys.argv[1]).unlink()
structlog.get_logger().info("line", sequence=100)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
def test_what_was_dropped_is_told_once_there_is_room(tmp_path: Path) -> None:
    """Whoever reads the log after a full disk must know that something is missing, and how much."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        (tmp_path / "filler").write_bytes(b"x" * 60 * 1024)
        with (tmp_path / "log").open("w") as log:
            subprocess.run([sys.executable, "-c", FILLS, tmp_path / "filler"], stderr=log, check=True, timeout=60)
        whole, torn = _read(tmp_path / "log")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)

    told = [line["dropped"] for line in whole if line["event"] == "log lines dropped"]
    kept = [line["sequence"] for line in whole if line["event"] == "line"]
    assert len(told) == 1
    assert told[0] + len(kept) == 101
    assert kept[-1] == 100
    assert torn <= 1


class Unshowable:
    def __str__(self) -> str:
        raise ZeroDivisionError("it cannot be shown")


@pytest.mark.parametrize(
    "value",
    ["\udc80", Unshowable(), {("a", "b"): 1}, float("nan"), b"\xff"],
    ids=["surrogate", "raises", "keys", "nan", "bytes"],
)
def test_a_value_that_cannot_be_shown_fails_nobody(value: object, tmp_path: Path) -> None:
    """A file name in another encoding must not end the reconciler that logs it."""
    with (tmp_path / "log").open("w") as stream:
        lines = log_to(stream.fileno())
        structlog.get_logger().info("seen", item=value)
        lines.close()

    (line,), torn = _read(tmp_path / "log")
    assert (line["event"], line["area"], torn) == ("seen", "probe", 0)


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_process_begins_without_its_standard_files(closed: str, tmp_path: Path) -> None:
    """A socket that got number 2 would be sent whatever a library says of its troubles."""
    code = (
        "import os, structlog; from suanmesh_telemetry.logs import configure_logs;"
        "configure_logs('probe', 'info'); structlog.get_logger().info('seen');"
        f"fd = os.open('{tmp_path}/told', os.O_WRONLY | os.O_CREAT); os.write(fd, b'%d' % fd)"
    )
    done = subprocess.run(["sh", "-c", f'"$0" -c "$1" {closed}', sys.executable, code], check=False, timeout=60)

    assert done.returncode == 0
    assert int((tmp_path / "told").read_text()) > 2


def test_what_was_logged_last_is_in_the_log(tmp_path: Path) -> None:
    """The line before the end says why it ended."""
    code = (
        "import structlog; from suanmesh_telemetry.logs import configure_logs; configure_logs('probe', 'info');"
        "[structlog.get_logger().info('seen', sequence=n) for n in range(1000)]; raise SystemExit(3)"
    )
    with (tmp_path / "log").open("w") as log:
        subprocess.run([sys.executable, "-c", code], stderr=log, check=False, timeout=60)

    whole, _ = _read(tmp_path / "log")
    assert [line["sequence"] for line in whole] == list(range(1000))


class _Encoding:
    """An exporter that fails as the real one does: for all where one cannot be encoded."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def export(self, spans: list[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans)
        self.taken += [span.name for span in spans]
        return SpanExportResult.SUCCESS


def test_a_span_that_cannot_be_encoded_costs_no_other(node: LoopbackNode) -> None:
    """One odd file name would leave holes in the traces of five hundred other calls."""
    record_spans()
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    for name in ("good", "bad", "better"):
        with suppress(ValueError), span(name, parent=parent):
            if name == "bad":
                raise ValueError("no file \udc80")
    inside, lost = _Encoding(), ("suan_spans_dropped_total", {"backend": "here:4317"})
    before = REGISTRY.get_sample_value(*lost) or 0.0

    CountingExporter(inside, "here:4317").export(recorded_spans())  # type: ignore[arg-type]

    assert inside.taken == ["good", "better"]
    assert REGISTRY.get_sample_value(*lost) == before + 1


def _read(log: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a log, and how many are torn."""
    whole: list[dict[str, Any]] = []
    torn = 0
    for line in log.read_text().splitlines():
        try:
            whole.append(json.loads(line))
        except ValueError:
            torn += 1
    return whole, torn


def _read_until(fd: int, mark: bytes) -> bytes:
    taken = b""
    while mark not in taken and (some := os.read(fd, 1 << 20)):
        taken += some
    return taken
