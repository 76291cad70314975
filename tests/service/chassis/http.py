"""A client of HTTP that shows the certificate it is told to."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

from suanmesh_chassis.ca import Issued, server_name, write_identity
from suanmesh_chassis.testing import NODE

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@dataclass(frozen=True)
class Answered:
    status: int
    content_type: str
    body: str


def showing(folder: Path, issued: Issued, *, trusts: bytes = b"", shows: bool = True) -> ssl.SSLContext:
    """TLS as whom `issued` names; it trusts the authority that issued that, or another."""
    write_identity(folder, issued)
    context = ssl.create_default_context(cadata=(trusts or issued.ca).decode())
    if shows:
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def get(port: int, path: str, *, tls: ssl.SSLContext | None = None, area: str = "probe") -> Answered:
    name = server_name(NODE, area) if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: here\r\nAccept: {OPENMETRICS}\r\n\r\n".encode())
        said = await reader.read()
    finally:
        writer.close()
    head, _, body = said.decode().partition("\r\n\r\n")
    lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return Answered(int(lines[0].split()[1]), headers["content-type"], body)
