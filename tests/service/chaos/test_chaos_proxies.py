"""The proxies of the chaos run: a fault is really brought about, strikes only whom it names, and is really healed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from chaos.proxies import OUTSIDER, Front, Network, Rule
from chaos.schedule import EVERYBODY, Mode

from suanmesh_local.ports import free_ports

SHORT_S = 0.2


class Echo:
    """A server that answers each line with itself, behind a proxy."""

    def __init__(self, network: Network, port: int) -> None:
        self.network = network
        self.port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection through the proxy."""
        pair = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(pair[1])
        return pair

    def close(self) -> None:
        """Close them all."""
        for writer in self._writers:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError, ConnectionError):
            while line := await reader.readline():
                writer.write(line)
        writer.close()

    listen, behind = free_ports(2)
    network = Network(lambda: {"caller": os.getpid()})
    async with await asyncio.start_server(answer, "127.0.0.1", behind):
        await network.serve(Front("echo", listen, behind))
        echo = Echo(network, listen)
        yield echo
        echo.close()
        await network.close()


async def _said(pair: tuple[asyncio.StreamReader, asyncio.StreamWriter], line: bytes) -> bytes:
    reader, writer = pair
    writer.write(line)
    return await reader.readline()


async def test_who_connects_is_known_by_the_process(echo: Echo) -> None:
    """A cut between two processes must not cut everybody."""
    pair = await echo.connect()
    assert await _said(pair, b"a\n") == b"a\n"

    assert echo.network.counts == {("caller", "echo"): 1}
    echo.network.add(Rule(OUTSIDER, "echo", Mode.RESET))
    assert await _said(pair, b"b\n") == b"b\n"


@pytest.mark.parametrize("mode", [Mode.HOLD, Mode.HOLD_TO, Mode.HOLD_FROM])
async def test_what_is_held_arrives_when_it_is_healed(echo: Echo, mode: Mode) -> None:
    """A partition that loses bytes of a connection that survives would be no fault a network can have."""
    pair = await echo.connect()
    rule = Rule("caller", EVERYBODY, mode)
    echo.network.add(rule)
    pair[1].write(b"late\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SHORT_S):
            await pair[0].read(1)

    echo.network.remove(rule)

    assert await pair[0].readline() == b"late\n"


async def test_a_reset_ends_what_stands_and_refuses_what_comes(echo: Echo) -> None:
    """A connection that is reset must fail at once, not time out."""
    pair = await echo.connect()
    await _said(pair, b"a\n")
    rule = Rule(EVERYBODY, "echo", Mode.RESET)
    echo.network.add(rule)

    with pytest.raises(ConnectionError):
        await pair[0].readexactly(1)
    again = await echo.connect()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await again[0].readexactly(1)
    echo.network.remove(rule)
    assert await _said(await echo.connect(), b"b\n") == b"b\n"
