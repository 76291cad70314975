"""Receivers of OTLP over HTTP, as protobuf: what many a backend takes alone, and what passes proxies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry.sdk.trace.export import SpanExporter

from suanmesh_telemetry.traces import EXPORT_TIMEOUT_S, NODE_HEADER

if TYPE_CHECKING:
    from requests import PreparedRequest

_OF_HTTP = frozenset(
    ("accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "user-agent")
)


@dataclass(frozen=True, slots=True)
class HttpTarget:
    """A receiver of OTLP over HTTP."""

    url: str
    """With its path, such as `https://collector.example:4318/v1/traces`."""
    ca: Path | None = None
    """PEM file of who may have issued its certificate; None for the public authorities."""
    certificate: Path | None = None
    """PEM file of what is shown to it, with `key`; None for nothing."""
    key: Path | None = None
    """PEM file of the key of that."""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Sent with every export, such as a token."""
    gzip: bool = False

    @property
    def label(self) -> str:
        """What it is called in metrics."""
        return urlsplit(self.url).netloc

    def exporter(self, node: str) -> SpanExporter:
        """What sends to it the spans of a process of `node`."""
        # Imported only where it is used: with it comes a client of HTTP, which no other process needs.
        import requests
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        headers = {NODE_HEADER: node or "-", **dict(self.headers)}
        session = requests.Session()
        session.trust_env = False  # or a CA of the environment comes before the one that is told
        session.proxies = requests.utils.get_environ_proxies(self.url)
        session.auth = partial(_with_no_others, headers)
        exporter = OTLPSpanExporter(
            endpoint=self.url,
            headers=headers,
            timeout=EXPORT_TIMEOUT_S,
            compression=Compression.Gzip if self.gzip else Compression.NoCompression,
            session=session,
        )
        # After it, since the exporter fills in what the variables say.
        session.verify = True if self.ca is None else str(self.ca)
        session.cert = None if self.certificate is None or self.key is None else (str(self.certificate), str(self.key))
        return exporter


def _with_no_others(headers: Mapping[str, str], request: PreparedRequest) -> PreparedRequest:
    """Take out what the exporter has added of `OTEL_EXPORTER_OTLP_HEADERS`: the token of another backend."""
    for name in [each for each in request.headers if each.lower() not in _OF_HTTP]:
        del request.headers[name]
    request.headers.update(headers)
    return request
