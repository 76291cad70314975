"""One caller opens hundreds of streams of data and reads none of them; nobody else may notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import trials
from suanmesh_local.node import Node
from tests.mesh.flooding import as_user, mesh_of, under_attack

pytestmark = [pytest.mark.mesh, pytest.mark.attack]

MIB = 1 << 20
SOURCE, TARGET = "shanghai", "guiyang"
LASTS_S = 30.0
Open = Callable[[], Any]


@pytest.fixture(scope="module")
def bulk(node: Node, tmp_path_factory: pytest.TempPathFactory) -> str:
    """64 MiB at the first site."""
    folder = tmp_path_factory.mktemp("bulk")
    (folder / "numbers.bin").write_bytes(bytes(range(256)) * (64 * MIB // 256))
    asyncio.run(node.publish(SOURCE, "bulk", "demo", folder))
    return "datasets/bulk"


async def test_files_that_are_opened_and_never_read(node: Node, bulk: str, tmp_path: Path) -> None:
    """Three hundred calls of one user took 2.4 GiB of the transport, and the gateway passes them all on."""
    request = pb.ReadFileRequest(dataset=bulk, path=b"numbers.bin")
    async with (
        mesh_of(as_user(node, tmp_path, "hostile"), node.gateway) as mesh,
        under_attack(node, "unread_files") as measured,
    ):
        await _unread(lambda: mesh.transport.ReadFile(request, timeout=300), 300)
    measured.require()


async def test_chunks_that_are_asked_for_and_never_read(node: Node, bulk: str) -> None:
    """Four hundred calls with one ticket took 1.4 GiB of the site that has the data."""
    ticket = await _ticket(node, bulk)
    ranges = [agent_pb.ChunkRange(file=0, offset=index * 4 * MIB, bytes=4 * MIB) for index in range(16)]
    request = agent_pb.FetchChunksRequest(ticket=ticket, ranges=ranges)
    address = f"127.0.0.1:{node.ports[f'site-{SOURCE}']}"
    async with mesh_of(node.folder / "sites" / TARGET / "identity", node.gateway) as mesh:
        source = mesh.agent(address, site=f"sites/{SOURCE}")
        async with under_attack(node, "unread_chunks") as measured:
            await _unread(lambda: source.FetchChunks(request, timeout=300), 400)
    measured.require()


async def _unread(opened: Open, times: int) -> None:
    """Open so many streams, read one answer of each that gives one, and then nothing."""
    streams = [opened() for _ in range(times)]

    async def begin(stream: Any) -> None:
        with suppress(Refusal):
            await stream.read()

    with suppress(TimeoutError):
        async with asyncio.timeout(LASTS_S), asyncio.TaskGroup() as tasks:
            for stream in streams:
                tasks.create_task(begin(stream))
            await asyncio.Event().wait()
    for stream in streams:
        stream.cancel()


async def _ticket(node: Node, dataset: str) -> Any:
    """The right to read `dataset` as the target's agent."""
    item = pb.TransferAsk(dataset=dataset, source=f"sites/{SOURCE}", target=f"sites/{TARGET}")
    async with node.mesh() as user:
        made = (await user.transport.CreateTransfers(pb.CreateTransfersRequest(items=[item]))).results[0].transfer
        await trials.moved(user, made.name, 0)
    async with mesh_of(node.folder / "sites" / TARGET / "identity", node.gateway) as agent:
        return (await agent.transport.GetTransfer(pb.GetTransferRequest(name=made.name))).ticket
