"""A listener that answers GET over HTTP/1.1, one request a connection: what probes and Prometheus need, and no more.

The event loop answers, not a thread. Each connection has its time, each head its size, and all of them a number, so
that whoever connects and says nothing keeps others waiting for seconds at most.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlsplit

from suanmesh_chassis.http_tls import ReloadingTls
from suanmesh_kernel.addresses import host_of

CONNECTIONS_MAX = 32
HEAD_BYTES_MAX = 8 * 1024
EXCHANGE_S_MAX = 10.0
"""How long a request may take to arrive, and its answer to be taken, seconds together."""
GZIP_BYTES_MIN = 1024


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

    def __init__(self, address: str, answer: Callable[[HttpRequest], Answer], tls: ReloadingTls | None = None) -> None:
        """Listen on `host:port`, with TLS where it is given."""
        self._address = address
        self._answer = answer
        self._tls = tls
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The one that it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        """Begin to listen. Raises OSError where the address is taken."""
        host, port = host_of(self._address), int(self._address.rpartition(":")[2])
        tls: dict[str, Any] = (
            {} if self._tls is None else {"ssl": self._tls.context, "ssl_handshake_timeout": EXCHANGE_S_MAX}
        )
        self._server = await asyncio.start_server(self._connected, host, port, limit=HEAD_BYTES_MAX, **tls)
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._serving) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._serving.add(task)
        try:
            with suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(EXCHANGE_S_MAX):
                    await self._exchange(reader, writer)
        finally:
            self._serving.discard(task)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, _, rest = head[0].partition(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if method not in ("GET", "HEAD"):
            answer = Answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"GET\n")
        else:
            secured = writer.get_extra_info("ssl_object")
            certificate = secured.getpeercert(binary_form=True) if secured is not None else None
            path = urlsplit(rest.partition(" ")[0]).path
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
