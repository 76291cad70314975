"""A gateway on the other side of the earth, or behind a satellite, is a gateway too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from suanmesh.registry.v1.registry_service_pb2 import GetSiteRequest
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh_sdk import Tls, connect

ONE_WAY_S = 0.3
"""As to a geostationary satellite and down again."""
PIECE_BYTES = 1 << 16
ANSWERED_S = 60.0


@asynccontextmanager
async def far(address: str) -> AsyncIterator[str]:
    """The address of a line to `address` on which everything takes a while."""
    host, _, port = address.rpartition(":")
    later = asyncio.get_running_loop().call_later
    joined, ends = set[asyncio.Task[None]](), list[asyncio.StreamWriter]()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(PIECE_BYTES):
                later(ONE_WAY_S, writer.write, piece)
        later(ONE_WAY_S, writer.close)

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, port)
        ends.extend((writer, back))
        await asyncio.gather(carry(reader, back), carry(there, writer))

    def joins(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        joined.add(asyncio.create_task(join(reader, writer)))

    async with await asyncio.start_server(joins, "127.0.0.1", 0) as line:
        try:
            yield f"127.0.0.1:{line.sockets[0].getsockname()[1]}"
        finally:
            for end in ends:
                end.transport.abort()
            await asyncio.gather(*joined)


async def test_a_gateway_far_away_is_reached(serve: Any, tls: Tls) -> None:
    """A handshake takes several round trips: whoever gives up within one of them never gets through."""
    oracle = await serve()
    oracle.answers["GetSite"] = Site(name="sites/a")
    async with far(oracle.address) as address, connect(address, tls=tls, node="demo") as mesh:
        found = await mesh.registry.GetSite(GetSiteRequest(name="sites/a"), timeout=ANSWERED_S)
    assert found.name == "sites/a"
