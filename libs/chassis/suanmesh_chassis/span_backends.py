"""Where a process sends its spans: to the trace store of its node, and to any other receivers of OTLP.

One other is told by the variables that OpenTelemetry gives for it, several by a file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from suanmesh_chassis.ca import server_name
from suanmesh_chassis.settings import SECRET, Common, load
from suanmesh_kernel.clock import Clock, SystemClock
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_sdk.tls import Shown, Tls
from suanmesh_telemetry.http_target import HttpTarget
from suanmesh_telemetry.traces import OtlpTarget, Target

PREFIX = "OTEL_EXPORTER_OTLP_"
TRACES = PREFIX + "TRACES_"
TRACES_PATH = "v1/traces"
PROTOCOLS = ("grpc", "http/protobuf")
BACKENDS_MAX = 8
"""Each has a queue and a thread of its own."""


@dataclass(frozen=True, slots=True)
class Backend:
    """A receiver as OpenTelemetry's variables describe it, `OTEL_EXPORTER_OTLP_<FIELD>`.

    What is told as `OTEL_EXPORTER_OTLP_TRACES_<FIELD>` comes before that.
    """

    endpoint: str = ""
    """`https://host:port`, or `http://host:port` without TLS; empty for no receiver. Over HTTP spans go to the path
    `v1/traces` below it, and to itself where it is told for traces alone."""
    protocol: str = "grpc"
    """`grpc` or `http/protobuf`."""
    insecure: bool = False
    """Without TLS, where the endpoint has no scheme."""
    certificate: Path | None = None
    """PEM file of who may have issued its certificate; the authorities that this machine trusts without."""
    client_certificate: Path | None = None
    """PEM file of the certificate that is shown to it."""
    client_key: Path | None = None
    """PEM file of the key of that."""
    headers: str = field(default="", metadata=SECRET)
    """`name=value,name=value`, values URL-encoded: sent with every export."""
    compression: str = "none"
    """`none` or `gzip`."""

    def target(self, path: str = TRACES_PATH) -> Target:
        """How it is reached; over HTTP, at `path` below it. Raises InvalidArgument (`FIELD_INVALID`), OSError."""
        if self.protocol not in PROTOCOLS:
            raise _invalid("protocol", f"{self.protocol!r} is not spoken, only {' and '.join(PROTOCOLS)}")
        if self.compression not in ("", "none", "gzip"):
            raise _invalid("compression", f"{self.compression!r} is neither none nor gzip")
        if (self.client_certificate is None) != (self.client_key is None):
            raise _invalid("client_key", "a certificate is shown with its key, or neither is given")
        return self._over_grpc() if self.protocol == "grpc" else self._over_http(path)

    def _over_grpc(self) -> OtlpTarget:
        told = self._checked_endpoint()
        if told.port is None:
            raise _invalid("endpoint", f"{self.endpoint!r} is no https://host:port and no http://host:port")
        return OtlpTarget(
            endpoint=told.netloc,
            plain=told.scheme == "http" or (not told.scheme and self.insecure),
            ca=_read(self.certificate),
            certificate=_read(self.client_certificate),
            key=_read(self.client_key),
            headers=_headers(self.headers),
            gzip=self.compression == "gzip",
        )

    def _over_http(self, path: str) -> HttpTarget:
        if not self._checked_endpoint().scheme:
            raise _invalid("endpoint", f"{self.endpoint!r} begins with neither https:// nor http://")
        for file in (self.certificate, self.client_certificate, self.client_key):
            _read(file)
        return HttpTarget(
            url=f"{self.endpoint.removesuffix('/')}/{path}" if path else self.endpoint,
            ca=self.certificate,
            certificate=self.client_certificate,
            key=self.client_key,
            headers=_headers(self.headers),
            gzip=self.compression == "gzip",
        )

    def _checked_endpoint(self) -> SplitResult:
        told = urlsplit(self.endpoint if "://" in self.endpoint else f"//{self.endpoint}")
        if told.scheme not in ("", "http", "https") or not told.hostname or told.query or told.fragment:
            raise _invalid("endpoint", f"{self.endpoint!r} is no https://host:port and no http://host:port")
        if "@" in told.netloc:
            raise _invalid("endpoint", "who sends is told in headers, not in the endpoint")
        _require_port(told)
        return told


def span_backends(common: Common, environment: Mapping[str, str], clock: Clock | None = None) -> list[Target]:
    """All of them. Raises InvalidArgument (`FIELD_INVALID`), OSError, ValueError."""
    found: list[Target] = []
    if common.otlp_endpoint:
        shown = Shown(Tls.of_folder(common.tls_dir), (clock or SystemClock()).monotonic)
        found.append(OtlpTarget(common.otlp_endpoint, False, server_name(common.node, "gateway"), current=shown))
    general, traces = load(Backend, PREFIX, environment), load(Backend, TRACES, environment)
    told = replace(general, **_differing(traces))
    if told.endpoint:
        found.append(told.target("" if traces.endpoint else TRACES_PATH))
    if common.otlp_backends is not None:
        found += _of_file(common.otlp_backends)
    if len(found) > BACKENDS_MAX:
        raise _invalid("otlp_backends", f"{len(found)} receivers are told of, at most {BACKENDS_MAX} are sent to")
    return found


def _differing(backend: Backend) -> dict[str, Any]:
    return {each.name: value for each in fields(backend) if (value := getattr(backend, each.name)) != each.default}


def _of_file(path: Path) -> list[Target]:
    """Those of a TOML file: a table `[[backend]]` each, with the fields of `Backend`."""
    told = tomllib.loads(path.read_text())
    tables = told.pop("backend", [])
    if told or not isinstance(tables, list):
        raise _invalid("otlp_backends", f"{path} holds more, or something else, than tables [[backend]]")
    return [_of_table(each, path).target() for each in tables]


def _of_table(table: Mapping[str, object], path: Path) -> Backend:
    kinds = {each.name: each for each in fields(Backend)}
    if strange := table.keys() - kinds:
        raise _invalid("otlp_backends", f"{path}: a backend has no {sorted(strange)[0][:80]!r}")
    return load(Backend, "", {name.upper(): str(value) for name, value in table.items()})


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    if any(not equals or not name.strip() for name, equals, _ in pairs):
        raise _invalid("headers", "what is sent is written as name=value,name=value")
    return tuple((name.strip().lower(), unquote(value.strip())) for name, _, value in pairs)


def _require_port(told: SplitResult) -> None:
    try:
        _ = told.port
    except ValueError as fault:
        raise _invalid("endpoint", f"{told.netloc!r}: {fault}") from fault


def _read(path: Path | None) -> bytes:
    return b"" if path is None else path.read_bytes()


def _invalid(name: str, problem: str) -> InvalidArgument:
    return InvalidArgument("FIELD_INVALID", f"{name}: {problem}", field=name)
