"""What our whole stack costs a call: `python bench/rpc.py`.

An echo of 100 bytes over mutual TLS through SDK and chassis, against a bare plaintext grpc.aio echo, two processes
each, in turns on the same machine. Each server runs on the loop that its kind comes with: ours on libuv's as every
service does, the bare one on asyncio's. Prints one JSON object a line: {"name", "value", "unit", "baseline", "ratio"}.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from suanmesh.agent.v1 import agent_service_pb2, agent_service_pb2_grpc
from suanmesh_chassis import Served
from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.event_loop import run_on_loop
from suanmesh_chassis.identity import service_id
from suanmesh_chassis.testing import NODE, LoopbackNode
from suanmesh_kernel.clock import SystemClock
from suanmesh_telemetry.logs import configure_logs
from suanmesh_telemetry.traces import Origin, install

PAYLOAD = b"x" * 100
ROUNDS = 9
UNARY_CALLS = 500
FLIGHT = 32
FLIGHT_CALLS = 2500
DEFAULT_SHARE = 0.01
DESCRIPTOR = agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"]

Echo = Callable[[], Awaitable[object]]


class Nowhere(SpanExporter):
    """Takes spans off the queue as an exporter does; the network is left out of the figure."""

    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class Echoes(agent_service_pb2_grpc.AgentServiceServicer):
    """A site's data plane; only Echo is called."""

    async def Echo(self, request: Any, context: Any) -> Any:
        return agent_service_pb2.EchoResponse(payload=request.payload)

    async def GetManifest(self, request: Any, context: Any) -> Any:
        raise LookupError

    async def FetchChunks(self, request: Any, context: Any) -> Any:
        raise LookupError
        yield

    async def ReadLog(self, request: Any, context: Any) -> Any:
        raise LookupError
        yield

    async def ReadFiles(self, request: Any, context: Any) -> Any:
        raise LookupError
        yield

    async def WriteFiles(self, requests: Any, context: Any) -> Any:
        raise LookupError
        yield


async def serve(kind: str, folder: Path) -> None:
    """One server process: prints its address, ends with its input."""
    if kind == "bare":
        server = grpc.aio.server()
        agent_service_pb2_grpc.add_AgentServiceServicer_to_server(Echoes(), server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
    else:
        configure_logs("agent", "info", (folder / f"{kind}.log").open("w"))
        install(Origin("agent", "1"), [BatchSpanProcessor(Nowhere())])
        node = _node(folder, float(kind))
        address = await node.serve(node.process("agent"), [Served(DESCRIPTOR, Echoes())])
    print(address, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def _node(folder: Path, share: float) -> LoopbackNode:
    return LoopbackNode(folder, ca=NodeCa.load(folder, SystemClock()), sample_reads=share)


def _started(stack: AsyncExitStack, kind: str, folder: Path) -> str:
    command = [sys.executable, __file__, kind, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    assert process.stdin is not None
    assert process.stdout is not None
    stack.callback(process.stdin.close)
    return process.stdout.readline().strip()


async def measure() -> None:
    """Take turns between the three, and print the medians."""
    install(Origin("bench", "1"), [BatchSpanProcessor(Nowhere())])
    request = agent_service_pb2.EchoRequest(payload=PAYLOAD)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        NodeCa.create(NODE, SystemClock()).save(folder)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(_started(stack, "bare", folder)))
        bare = agent_service_pb2_grpc.AgentServiceStub(channel)
        echoes: dict[str, Echo] = {"bare": lambda: bare.Echo(request, timeout=10)}
        for share in (DEFAULT_SHARE, 1.0):
            echoes[str(share)] = await _full_echo(stack, folder, share, request)
        for echo in echoes.values():
            await _latencies(echo, 300)
        p50s: dict[str, list[float]] = {name: [] for name in echoes}
        rates: dict[str, list[float]] = {name: [] for name in echoes}
        for _ in range(ROUNDS):
            for name, echo in echoes.items():
                p50s[name].append(statistics.median(await _latencies(echo, UNARY_CALLS)))
            for name, echo in echoes.items():
                rates[name].append(await _rate(echo))
    _report(p50s, rates)


async def _full_echo(stack: AsyncExitStack, folder: Path, share: float, request: Any) -> Echo:
    address = _started(stack, str(share), folder)
    node = await stack.enter_async_context(_node(folder, share))
    stub = agent_service_pb2_grpc.AgentServiceStub(
        node.mesh(address, caller=service_id(NODE, "transport"), traced=True).channel("agent").as_grpc()
    )
    return lambda: stub.Echo(request)


async def _latencies(echo: Echo, calls: int) -> list[float]:
    taken = []
    for _ in range(calls):
        begun = time.perf_counter()
        await echo()
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


async def _rate(echo: Echo) -> float:
    async def caller() -> None:
        for _ in range(FLIGHT_CALLS // FLIGHT):
            await echo()

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(FLIGHT):
            tasks.create_task(caller())
    return FLIGHT_CALLS // FLIGHT * FLIGHT / (time.perf_counter() - begun)


def _report(p50s: dict[str, list[float]], rates: dict[str, list[float]]) -> None:
    for suffix, kind in (("", str(DEFAULT_SHARE)), ("_all_traced", "1.0")):
        for name, unit, measured in (("unary_p50", "ms", p50s), (f"unary_throughput_{FLIGHT}", "1/s", rates)):
            value, baseline = statistics.median(measured[kind]), statistics.median(measured["bare"])
            ratio = statistics.median(
                ours / theirs for ours, theirs in zip(measured[kind], measured["bare"], strict=True)
            )
            figures = {"value": round(value, 3), "unit": unit, "baseline": round(baseline, 3), "ratio": round(ratio, 3)}
            print(json.dumps({"name": name + suffix} | figures))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        asyncio.run(measure())
    elif sys.argv[1] == "bare":
        asyncio.run(serve("bare", Path(sys.argv[2])))
    else:
        run_on_loop(serve(sys.argv[1], Path(sys.argv[2])))
