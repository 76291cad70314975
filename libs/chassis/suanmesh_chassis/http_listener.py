"""A listener that answers GET over HTTP/1.1, one request a connection: what probes and Prometheus need, and no more.

The event loop answers, not a thread. Each connection has its time, from before the handshake on, each head its size,
and all of them a number: where there are as many the oldest is given up, since who asks is done long before.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from suanmesh_chassis.http_tls import ReloadingTls
from suanmesh_kernel.addresses import host_of

CONNECTIONS_MAX = 32
HEAD_BYTES_MAX = 8 * 1024
EXCHANGE_S_MAX = 10.0
"""How long a request may take to arrive, and its answer to be taken, seconds together."""
GZIP_BYTES_MIN = 1024
BACKLOG = 128
ACCEPT_PAUSE_S = 0.5
"""After an attempt to accept that failed, seconds."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is asked."""

    path: str
    accept: str
    secure: bool
    """Whether it came over TLS."""
    certificate: bytes
    """What the client showed, DER, checked against the node's authority; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered."""

    status: int
    content_type: str
    body: bytes


class HttpListener:
    """Use it as an async context manager."""

    def __init__(
        self,
        address: str,
        answer: Callable[[HttpRequest], Answer],
        tls: ReloadingTls | None = None,
        *,
        exchange_s: float = EXCHANGE_S_MAX,
    ) -> None:
        """Listen on `host:port`, with TLS where it is given; an exchange takes `exchange_s` seconds at most."""
        self._address = address
        self._answer = answer
        self._tls = tls
        self._exchange_s = exchange_s
        self._serving: dict[asyncio.Task[None], None] = {}
        """The oldest first."""
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The one that it listens on."""
        assert self._listening is not None
        return int(self._listening.getsockname()[1])

    async def __aenter__(self) -> Self:
        """Begin to listen. Raises OSError where the address is taken."""
        host, port = host_of(self._address), int(self._address.rpartition(":")[2])
        loop = asyncio.get_running_loop()
        (found, *_) = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, where = found
        self._listening = socket.create_server(where[:2], family=family, backlog=BACKLOG)
        self._listening.setblocking(False)
        self._accepting = loop.create_task(self._accept(self._listening))
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._listening is not None
        assert self._accepting is not None
        self._accepting.cancel()
        ending = [self._accepting, *self._serving]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        self._listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        """Not asyncio's server: that counts nobody who has not got through the handshake."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, _ = await loop.sock_accept(listening)
            except OSError:  # no file is left, or it has gone again
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            if len(self._serving) >= CONNECTIONS_MAX:
                oldest = next(iter(self._serving))
                del self._serving[oldest]
                oldest.cancel()
            self._serving[loop.create_task(self._serve(connected))] = None

    async def _serve(self, connected: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(HEAD_BYTES_MAX)
        protocol = asyncio.StreamReaderProtocol(reader)
        tls: dict[str, Any] = {}
        if self._tls is not None:
            tls = {"ssl": self._tls.context, "ssl_handshake_timeout": self._exchange_s}
        writer: asyncio.StreamWriter | None = None
        try:
            with suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(self._exchange_s):
                    transport, _ = await loop.connect_accepted_socket(lambda: protocol, connected, **tls)
                    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
                    await self._exchange(reader, writer)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._serving.pop(task, None)
            if writer is not None:
                writer.transport.abort()
            else:
                with suppress(OSError):  # the loop closes it, after a handshake that may take its time to end
                    connected.shutdown(socket.SHUT_RDWR)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, _, rest = head[0].partition(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if method not in ("GET", "HEAD"):
            answer = Answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"GET\n")
        else:
            secured = writer.get_extra_info("ssl_object")
            certificate = secured.getpeercert(binary_form=True) if secured is not None else None
            path = rest.partition(" ")[0].partition("?")[0]
            request = HttpRequest(path, headers.get("accept", ""), secured is not None, certificate or b"")
            answer = self._answer(request)
        body, extra = answer.body, ""
        if "gzip" in headers.get("accept-encoding", "") and len(body) >= GZIP_BYTES_MIN:
            body, extra = gzip.compress(body, 1), "Content-Encoding: gzip\r\n"
        phrase = HTTPStatus(answer.status).phrase
        writer.write(
            f"HTTP/1.1 {answer.status:d} {phrase}\r\nContent-Type: {answer.content_type}\r\n{extra}"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        )
        if method != "HEAD":
            writer.write(body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
