"""A large dataset on its way between real sites: killed at either end, damaged in flight, and whole all the same."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.transport.v1 import transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport
from suanmesh_content import read_folder
from suanmesh_local import trials
from suanmesh_local.node import NODE, Node
from suanmesh_local.ports import free_ports
from suanmesh_sdk import Mesh

pytestmark = pytest.mark.mesh

MIB = 1 << 20
SOURCE, TARGET = "shanghai", "guiyang"
SERVICE = "suanmesh.agent.v1.AgentService"
OPTIONS = (("grpc.max_receive_message_length", 16 * MIB), ("grpc.max_send_message_length", 16 * MIB))
SHOW_DIGEST = """
import hashlib, pathlib
for path in sorted(pathlib.Path("in").rglob("*")):
    if path.is_file():
        with path.open("rb") as file:
            print(hashlib.file_digest(file, "sha256").hexdigest(), path.name, flush=True)
"""


class Wire:
    """Stands before the source's data plane, counts what it sends, and flips a byte of it when told to."""

    def __init__(self, node: Node) -> None:
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        self.sent: list[tuple[int, int]] = []
        self.to_damage = 0
        self._source, self._target = (node.folder / "sites" / site / "identity" for site in (SOURCE, TARGET))
        self._upstream = f"127.0.0.1:{node.ports[f'site-{SOURCE}']}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listen as the source, and ask the source as the target would."""
        ca, key, cert = (self._target / name for name in ("ca.pem", "key.pem", "cert.pem"))
        credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key.read_bytes(), cert.read_bytes())
        name = ("grpc.ssl_target_name_override", f"agent.{SOURCE}.{NODE}.suanmesh")
        retry = ("grpc.max_reconnect_backoff_ms", 200)
        async with grpc.aio.secure_channel(self._upstream, credentials, (*OPTIONS, name, retry)) as channel:
            self._manifest: Any = channel.unary_unary(f"/{SERVICE}/GetManifest")
            self._fetch: Any = channel.unary_stream(f"/{SERVICE}/FetchChunks")
            server = grpc.aio.server(options=OPTIONS)
            handlers: dict[str, Any] = {
                "GetManifest": grpc.unary_unary_rpc_method_handler(self._get_manifest),
                "FetchChunks": grpc.unary_stream_rpc_method_handler(self._fetch_chunks),
            }
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
            key, cert, ca = (self._source / name for name in ("key.pem", "cert.pem", "ca.pem"))
            shown = [(key.read_bytes(), cert.read_bytes())]
            server.add_secure_port(self.address, grpc.ssl_server_credentials(shown, ca.read_bytes(), True))
            await server.start()
            try:
                yield
            finally:
                await server.stop(0)

    async def _get_manifest(self, request: bytes, context: Any) -> bytes:
        try:
            return bytes(await self._manifest(request, timeout=context.time_remaining()))
        except grpc.aio.AioRpcError as no:
            await context.abort(no.code(), no.details(), tuple(no.trailing_metadata()))
            raise

    async def _fetch_chunks(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        ranges = agent_pb.FetchChunksRequest.FromString(request).ranges
        try:
            async for raw in self._fetch(request, timeout=context.time_remaining()):
                chunk = agent_pb.FetchChunksResponse.FromString(raw)
                if self.to_damage:
                    self.to_damage -= 1
                    content = bytearray(chunk.content)
                    content[len(content) // 2] ^= 1
                    chunk.content = bytes(content)
                if chunk.digest:  # the last piece of a chunk
                    asked = ranges[chunk.range]
                    self.sent.append((asked.file, asked.offset))
                yield chunk.SerializeToString()
        except grpc.aio.AioRpcError as no:
            await context.abort(no.code(), no.details(), tuple(no.trailing_metadata()))


@pytest.fixture
async def wire(node: Node) -> AsyncIterator[Wire]:
    """The source behind a wire the test can see."""
    wire, source = Wire(node), node.agents[SOURCE]
    async with wire.open(), node.mesh("operator") as operator:
        await source.stop()
        source.environment["SUANMESH_AGENT_DATA_ENDPOINT"] = wire.address
        source.start()
        await node.site_ready(SOURCE, operator)
        yield wire
        del source.environment["SUANMESH_AGENT_DATA_ENDPOINT"]
        for site in (SOURCE, TARGET):
            await node.agents[site].stop()
            node.agents[site].start()
        for site in (SOURCE, TARGET):
            await node.site_ready(site, operator)


@pytest.fixture
async def mesh(node: Node) -> AsyncIterator[Mesh]:
    """The mesh as a user."""
    async with node.mesh() as mesh:
        yield mesh


async def test_a_large_dataset_survives_a_kill_of_either_end(
    node: Node, wire: Wire, mesh: Mesh, tmp_path: Path
) -> None:
    """Hours of moving must not be lost to a crash: at most two chunks come again for each, and the data is whole."""
    folder, digest = _random_file(tmp_path, 256)
    await node.publish(SOURCE, "large", "demo", folder)
    described = trials.job(SHOW_DIGEST, inputs=["large"])
    described.constraints.allow_sites.append(f"sites/{TARGET}")
    described.constraints.min_bandwidth_bps = 300_000_000
    name = await trials.submit(mesh, "moves-large", described)
    placed = await trials.reached(mesh, name, job_pb2.Job.STATE_STAGING)
    transfer = f"transfers/{placed.placement.rpartition('/')[2]}-in-0"

    await _killed_at(node, mesh, TARGET, transfer, chunks=8)
    half = await _killed_at(node, mesh, SOURCE, transfer, chunks=28)
    assert half.progress.chunks_again <= 2
    job = await trials.ended(mesh, name)
    moved = await mesh.transport.GetTransfer(transport.GetTransferRequest(name=transfer))

    assert job.state == job_pb2.Job.STATE_DONE, job.state_reason
    assert moved.progress.chunks >= 32
    assert moved.receipt.chunks_again <= 4
    assert len(wire.sent) - len(set(wire.sent)) <= 4
    assert len(set(wire.sent)) == moved.progress.chunks
    arrived = node.folder / "sites" / TARGET / "replicas" / moved.digest / "files"
    assert read_folder(arrived).digest == moved.receipt.digest == moved.digest
    assert hashlib.sha256((arrived / "numbers.bin").read_bytes()).hexdigest() == digest
    assert digest.encode() in await trials.content(mesh, f"{job.name.replace('jobs/', 'datasets/')}-log", "task-0.log")
    print(f"{len(wire.sent)} chunks sent of {moved.progress.chunks}, {moved.receipt}")


async def test_a_byte_flipped_in_flight_is_sent_again(node: Node, wire: Wire, mesh: Mesh, tmp_path: Path) -> None:
    """Silent damage on the way must never become somebody's data."""
    folder, digest = _random_file(tmp_path, 24)
    await node.publish(SOURCE, "fragile", "demo", folder)
    wire.to_damage = 1
    item = transport.TransferAsk(
        transfer_id="fragile-1",
        dataset="datasets/fragile",
        source=f"sites/{SOURCE}",
        target=f"sites/{TARGET}",
    )
    answer = await mesh.transport.CreateTransfers(transport.CreateTransfersRequest(items=[item]))
    assert answer.results[0].HasField("transfer"), answer
    moved = await trials.moved(mesh, "transfers/fragile-1", 0)

    assert wire.to_damage == 0
    assert moved.state == transfer_pb2.Transfer.STATE_DONE, moved.state_reason
    assert moved.receipt.chunks_again == len(wire.sent) - len(set(wire.sent)) == 1
    arrived = node.folder / "sites" / TARGET / "replicas" / moved.digest / "files"
    assert read_folder(arrived).digest == moved.digest
    assert hashlib.sha256((arrived / "numbers.bin").read_bytes()).hexdigest() == digest


async def _killed_at(node: Node, mesh: Mesh, site: str, transfer: str, *, chunks: int) -> transfer_pb2.Transfer:
    """Kill a site's agent once so many chunks have arrived, and start it again as a supervisor would."""
    found = await trials.moved(mesh, transfer, chunks)
    assert found.state == transfer_pb2.Transfer.STATE_ACTIVE, found.state_reason
    await asyncio.to_thread(node.agents[site].kill)
    node.agents[site].start()
    return found


def _random_file(folder: Path, mebibytes: int) -> tuple[Path, str]:
    digest = hashlib.sha256()
    data = folder / "data"
    data.mkdir()
    with (data / "numbers.bin").open("wb") as file:
        for block in _blocks(mebibytes):
            digest.update(block)
            file.write(block)
    return data, digest.hexdigest()


def _blocks(mebibytes: int) -> Iterator[bytes]:
    for _ in range(mebibytes):
        yield os.urandom(MIB)
