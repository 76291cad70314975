"""Lines that fall silent: what is sent over one arrives no more, and nothing ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PIECE_BYTES = 1 << 16


class Line:
    """A line to a server, which may fall silent."""

    def __init__(self) -> None:
        self.address = ""
        self.open = asyncio.Event()
        self.open.set()
        self.held = asyncio.Event()
        """Set once something waits."""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while piece := await reader.read(PIECE_BYTES):
                if not self.open.is_set():
                    self.held.set()
                await self.open.wait()
                writer.write(piece)
        writer.close()


@asynccontextmanager
async def line_to(address: str) -> AsyncIterator[Line]:
    """A line to `address`, open at first."""
    line, host, port = Line(), *address.rsplit(":", 1)
    ends, joined = list[asyncio.StreamWriter](), set[asyncio.Task[None]]()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        ends.extend((writer, back))
        await asyncio.gather(line.carry(reader, back), line.carry(there, writer))

    def joins(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        joined.add(asyncio.create_task(join(reader, writer)))

    async with await asyncio.start_server(joins, "127.0.0.1", 0) as listening:
        line.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        try:
            yield line
        finally:
            line.open.set()
            for end in ends:
                end.transport.abort()
            await asyncio.gather(*joined)
