"""What hostile callers try at a node's doors, and what an honest one sees of it meanwhile: next to nothing.

Each attacker is a process of its own, `python tests/mesh/test_attack_doors.py ATTACK CONFIG`, so that its memory and
its turns at the interpreter are not taken for the node's.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from suanmesh.registry.v1 import registry_service_pb2 as registry
from suanmesh_chassis.ca import server_name
from suanmesh_local.node import NODE, Node
from suanmesh_sdk.status import DETAILS_KEY, refusal_of_call

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.mesh.flooding import as_bearer, as_user, under_attack

pytestmark = [pytest.mark.mesh, pytest.mark.attack]

MIB = 1 << 20
REGISTRY = "/suanmesh.registry.v1.RegistryService"
SEARCH = f"{REGISTRY}/SearchPools"
LASTS_S = 12.0
"""How long an attack goes on that would go on for ever."""
WITHIN_S = 120.0
SLOW_AFTER_BYTES = 64 * 1024
"""How much of a connection passes before it gets slow: a handshake, and the heads of many calls."""


async def attack(node: Node, name: str, home: Path | None = None, **more: Any) -> dict[str, int]:
    """Run one attacker to its end; how its calls ended, by reason."""
    ca = node.identities.of("operator") / "ca.pem"
    config = {"gateway": node.gateway, "home": str(home or ""), "ca": str(ca), **more}
    command = [sys.executable, __file__, name, json.dumps(config)]
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(WITHIN_S):
            said, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0
    ended: dict[str, int] = json.loads(said.splitlines()[-1])
    print(json.dumps({"name": f"{name}.attacker", "value": ended, "unit": "calls"}))
    return ended


@pytest.fixture
def mallory(node: Node, tmp_path: Path) -> Path:
    """A user like any other, with bad intent."""
    return as_user(node, tmp_path / "mallory", "mallory")


@pytest.fixture
def agent_home(node: Node) -> Path:
    """A site's identity in hostile hands."""
    return node.folder / "sites" / node.places[-1].site / "identity"


@pytest.mark.parametrize("bytes_each", [60 * MIB, 60 * 1024])
async def test_large_messages_of_who_was_only_invited(node: Node, tmp_path: Path, bytes_each: int) -> None:
    """Forty messages of 60 MiB from nobody in particular took the gateway to 2.8 GiB."""
    bearer = as_bearer(node, tmp_path / "bearer")
    async with under_attack(node, f"enrolment_{bytes_each}") as measured:
        await attack(node, "large", bearer, calls=40, bytes=bytes_each, method=f"{REGISTRY}/EnrolSite", again=5)
    measured.require()


async def test_ten_thousand_calls_of_one_user(node: Node, mallory: Path) -> None:
    """One bound for all means that the first caller takes it and everybody else is locked out."""
    async with under_attack(node, "ten_thousand_calls") as measured:
        ended = await attack(node, "many", mallory, calls=10_000, connections=50)
    # NOT_READY is gRPC's core, which turns calls away before our code is asked once a thousand wait for it.
    assert set(ended) <= {"OK", "CALLS_OF_CALLER_MAX", "PROCESS_FULL", "DEADLINE_EXCEEDED", "NOT_READY"}
    measured.require()


@pytest.mark.parametrize("method", [SEARCH, "/grpc.health.v1.Health/Check", f"{REGISTRY}/CreateParty"])
async def test_calls_that_are_never_finished(node: Node, mallory: Path, method: str) -> None:
    """A call that sends its head and no message holds what is kept for it as long as it likes."""
    async with under_attack(node, f"half_open{method.rpartition('/')[2]}") as measured:
        await attack(node, "half_open", mallory, calls=4000, connections=20, method=method)
    measured.require()


@pytest.mark.parametrize("method", [SEARCH, f"{REGISTRY}/ReportState", f"{REGISTRY}/CreateParty"])
async def test_large_messages_of_a_user(node: Node, mallory: Path, method: str) -> None:
    """Whoever has a certificate may send large messages, but not fill the memory of those who serve everybody."""
    async with under_attack(node, f"large_of_user{method.rpartition('/')[2]}") as measured:
        await attack(node, "large", mallory, calls=200, bytes=4 * MIB - 1024, method=method, again=3)
    measured.require()


async def test_large_messages_on_streams_of_an_agent(node: Node, agent_home: Path) -> None:
    """A site's machine may be taken over; its streams are open for days."""
    async with under_attack(node, "large_of_agent") as measured:
        await attack(
            node, "large_streams", agent_home, calls=64, bytes=4 * MIB - 1024, method=f"{REGISTRY}/ReportState"
        )
    measured.require()


async def test_messages_that_trickle(node: Node, mallory: Path) -> None:
    """A message that comes a piece at a time keeps room set aside that others wait for."""
    async with under_attack(node, "trickle") as measured:
        await attack(node, "trickle", mallory, calls=300, connections=10, bytes=MIB, method=SEARCH)
    measured.require()


async def test_streams_that_are_never_closed(node: Node, mallory: Path) -> None:
    """A watch costs a task and a buffer at each hop."""
    async with under_attack(node, "streams") as measured:
        ended = await attack(node, "streams", mallory, calls=2000, connections=20, method=f"{REGISTRY}/WatchPools")
    assert ended.get("STREAMS_OF_CALLER_MAX", 0) > 0
    measured.require()


async def test_handshakes_that_are_never_finished(node: Node) -> None:
    """Whoever can reach the port can open connections; nobody knows yet who it is."""
    async with under_attack(node, "handshakes") as measured:
        await attack(node, "handshakes", connections=2000)
    measured.require()


async def test_many_connections_of_one_user(node: Node, mallory: Path) -> None:
    """A connection that does nothing is kept all the same."""
    async with under_attack(node, "connections") as measured:
        await attack(node, "many", mallory, calls=400, connections=400)
    measured.require()


# The attackers.


def channel(config: dict[str, Any]) -> grpc.aio.Channel:
    """A connection of its own."""
    home = Path(config["home"])
    shown = [(home / name).read_bytes() for name in ("key.pem", "cert.pem")]
    credentials = grpc.ssl_channel_credentials(Path(config["ca"]).read_bytes(), *shown)
    options = (
        ("grpc.ssl_target_name_override", server_name(NODE, "gateway")),
        ("grpc.max_send_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
    )
    return grpc.aio.secure_channel(config["gateway"], credentials, options=options)


async def ended(call: Any) -> str:
    """How a call ended, in one word."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        details = dict(error.trailing_metadata() or ()).get(DETAILS_KEY)
        return refusal_of_call(error.code().name, error.details() or "", details).reason
    return "OK"


async def large(config: dict[str, Any]) -> list[str]:
    """Many large messages at once, each on a connection of its own up to a hundred, again and again."""
    body = b"\x0a" + _length(config["bytes"]) + b"x" * config["bytes"]
    channels = [channel(config) for _ in range(min(100, config["calls"]))]
    reasons = []
    for _ in range(config["again"]):
        calls = [
            channels[number % len(channels)].unary_unary(config["method"])(body, timeout=10)
            for number in range(config["calls"])
        ]
        reasons += await asyncio.gather(*map(ended, calls))
    return reasons


async def large_streams(config: dict[str, Any]) -> list[str]:
    """Many streams, each with one large message after the other."""
    body = b"\x0a" + _length(config["bytes"]) + b"x" * config["bytes"]
    until = time.monotonic() + LASTS_S

    async def pour(connection: grpc.aio.Channel) -> str:
        reason = ""
        while time.monotonic() < until:
            call = connection.stream_stream(config["method"])(timeout=until - time.monotonic() + 1)
            with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
                while time.monotonic() < until:
                    await call.write(body)
            call.cancel()
            reason = str((await call.code()).name)
        return reason

    return await asyncio.gather(*(pour(channel(config)) for _ in range(config["calls"])))


async def many(config: dict[str, Any]) -> list[str]:
    """Many calls at once."""
    channels = [channel(config) for _ in range(config["connections"])]
    body = registry.SearchPoolsRequest().SerializeToString()
    calls = [
        channels[number % len(channels)].unary_unary(SEARCH)(body, timeout=30) for number in range(config["calls"])
    ]
    return await asyncio.gather(*map(ended, calls))


async def half_open(config: dict[str, Any]) -> list[str]:
    """Calls whose message never comes, each replaced once it is refused."""
    channels = [channel(config) for _ in range(config["connections"])]
    until = time.monotonic() + LASTS_S

    async def hold(number: int) -> str:
        reason = ""
        while (left := until - time.monotonic()) > 0:
            call = channels[number % len(channels)].stream_unary(config["method"])(timeout=left)
            reason = await ended(call)
            await asyncio.sleep(0.5)
        return reason

    return await asyncio.gather(*map(hold, range(config["calls"])))


async def trickle(config: dict[str, Any]) -> list[str]:
    """Large messages over a line that lets through a few bytes at a time once a call has begun."""
    line = await asyncio.start_server(lambda *ends: _slow_line(config["gateway"], *ends), "127.0.0.1", 0)
    slow = config | {"gateway": f"127.0.0.1:{line.sockets[0].getsockname()[1]}"}
    body = b"\x0a" + _length(config["bytes"]) + b"x" * config["bytes"]
    channels = [channel(slow) for _ in range(config["connections"])]
    calls = [
        channels[number % len(channels)].unary_unary(config["method"])(body, timeout=LASTS_S)
        for number in range(config["calls"])
    ]
    return await asyncio.gather(*map(ended, calls))


async def _slow_line(gateway: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    host, _, port = gateway.rpartition(":")
    far_reader, far_writer = await asyncio.open_connection(host, int(port))

    async def up() -> None:
        sent = 0
        while piece := await reader.read(1024):
            far_writer.write(piece)
            sent += len(piece)
            await asyncio.sleep(0.05 if sent > SLOW_AFTER_BYTES else 0)

    async def down() -> None:
        while piece := await far_reader.read(65536):
            writer.write(piece)

    with suppress(OSError):
        await asyncio.gather(up(), down())
    writer.close()
    far_writer.close()


async def streams(config: dict[str, Any]) -> list[str]:
    """Streams that are opened and not read."""
    channels = [channel(config) for _ in range(config["connections"])]

    async def watch(number: int) -> str:
        call = channels[number % len(channels)].unary_stream(config["method"])(b"", timeout=LASTS_S)
        try:
            await call.read()
            await asyncio.sleep(LASTS_S)
        except grpc.aio.AioRpcError:
            return await ended(_raised(call))
        call.cancel()
        return "OK"

    return await asyncio.gather(*map(watch, range(config["calls"])))


async def _raised(call: Any) -> None:
    raise grpc.aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), details=await call.details()
    )


async def handshakes(config: dict[str, Any]) -> list[str]:
    """Connections on which nothing is ever said, each replaced once it is closed."""
    host, _, port = config["gateway"].rpartition(":")
    until = time.monotonic() + LASTS_S

    async def knock(_: int) -> str:
        while (left := until - time.monotonic()) > 0:
            with suppress(OSError, TimeoutError):
                reader, writer = await asyncio.open_connection(host, int(port), family=socket.AF_INET)
                async with asyncio.timeout(left):
                    await reader.read()
                writer.close()
            await asyncio.sleep(0.1)
        return "closed"

    return await asyncio.gather(*map(knock, range(config["connections"])))


def _length(number: int) -> bytes:
    """A varint of protobuf."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


ATTACKS: dict[str, Callable[[dict[str, Any]], Awaitable[list[str]]]] = {
    each.__name__: each for each in (large, large_streams, many, half_open, trickle, streams, handshakes)
}

if __name__ == "__main__":

    async def _run() -> None:
        print(json.dumps(Counter(await ATTACKS[sys.argv[1]](json.loads(sys.argv[2])))))

    asyncio.run(_run())
