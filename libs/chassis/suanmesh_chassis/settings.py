"""Settings: frozen dataclasses filled from `SUANMESH_*`, checked before anything is opened."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from suanmesh_kernel.addresses import told_address
from suanmesh_kernel.refusals import InvalidArgument

S = TypeVar("S")

SECRET = {"secret": True}
"""`field(metadata=SECRET)`: the value is left out of the log."""
_PASSWORDS = (
    re.compile(r"(://[^:/?#@\s]*:)[^\s]*(?=@)"),
    re.compile(r"([?&](?:ssl)?password=)[^&\s]*"),
)
"""Where a URL has one, as libpq and SQLAlchemy read it."""


@dataclass(frozen=True, slots=True)
class Common:
    """What every process of a node is told."""

    node: str = "demo"
    """Name of the node: the trust domain of its identities and part of its server names."""
    etcd_endpoints: tuple[str, ...] = ("127.0.0.1:2379",)
    """Members of the node's etcd, `host:port`, separated by commas."""
    tls_dir: Path = Path("build/dev/tls")
    """Folder with cert.pem, key.pem, ca.pem and signing.key (Ed25519, PKCS#8 PEM) of this process."""
    etcd_tls_dir: Path | None = None
    """Folder with cert.pem, key.pem and ca.pem for etcd; empty for an etcd without TLS."""
    renews: tuple[Path, ...] = ()
    """Further folders with an identity each, such as that of an etcd member of this machine, whose certificates this
    process renews besides its own."""
    listen: str = "127.0.0.1:0"
    """`host:port` to serve on; port 0 takes a free one."""
    advertise: str = ""
    """`host:port` others reach it at, where that is not what it listens on; a host alone gets the port listened on."""
    data_dir: Path = Path("build/dev/data")
    """Folder for what the process keeps itself."""
    otlp_endpoint: str = ""
    """`host:port` that takes spans over OTLP with this process' certificate; empty for none."""
    otlp_backends: Path | None = None
    """TOML file with a table `[[backend]]` for each further receiver of spans; besides it OTEL_EXPORTER_OTLP_*."""
    metrics_listen: str = ""
    """`host:port` of /metrics, /healthz and /readyz: plain on the loopback, else with TLS; empty for none."""
    metrics_party: str = ""
    """Party whose users may read metrics over TLS besides operators, `parties/{party}`; empty for none."""
    trace_sample_reads: float = 0.01
    """Share of traces kept that begin with a call that changes nothing, 0 to 1."""
    lease_s: float = 5.0
    """TTL of the election's and of the instance record's lease, seconds."""
    drain_grace_s: float = 5.0
    """How long calls in flight may take to end when the process is told to stop, seconds."""
    drain_notice_s: float = 0.2
    """How long clients have to see that an instance drains before it stops taking calls, seconds."""
    message_bytes_max: int = 4 * 1024 * 1024
    """Largest request message, bytes."""
    stream_stall_s: float = 20.0
    """How long a caller may take nothing of a stream that has something for it before the stream is ended, seconds."""
    message_s_max: float = 10.0
    """How long one message may take to arrive, seconds."""
    bytes_max: int = 48 * 1024 * 1024
    """Most bytes of messages in flight, of all callers together."""
    bytes_per_caller_max: int = 8 * 1024 * 1024
    """Most bytes of messages in flight of one caller; never less than one message may have."""
    calls_max: int = 1024
    """Most calls under way that are answered once; parts are kept for agents, operators and services."""
    calls_per_caller_max: int = 32
    """Most of them of one user or agent."""
    streams_max: int = 2048
    """Most streams open, half of them kept for agents."""
    streams_per_caller_max: int = 16
    """Most of them of one user or agent."""
    sending_streams_per_caller_max: int = 4
    """Most streams of one user or agent that it sends on."""
    relayed_streams_per_agent_max: int = 64
    """Most of one agent: a site that only dials out serves each call to it on one, in frames of 129 KiB."""
    calls_per_connection_max: int = 32
    """Most calls and streams under way on one connection to a gateway; what is more waits at the caller. More than the
    streams that one caller may have, or they would keep its calls waiting."""
    connections_max: int = 4096
    """Most connections of a listener that asks for a client certificate."""
    handshake_s_max: float = 5.0
    """How long a TLS handshake may take, seconds."""
    open_message_bytes_max: int = 64 * 1024
    """Largest request message on a listener without client certificates, bytes."""
    open_message_s_max: float = 3.0
    """How long one message may take to arrive there, seconds."""
    open_calls_max: int = 16
    """Most calls under way there, of all callers together; half of them of one address."""
    open_connections_max: int = 128
    """Most connections of such a listener."""
    log_level: str = "info"
    """Least level that is logged: debug, info, warning or error."""

    def __post_init__(self) -> None:
        told_address(self.listen, self.advertise, field="advertise")


def load(kind: type[S], prefix: str, environment: Mapping[str, str]) -> S:
    """Fill the dataclass `kind` from `<prefix><FIELD>`; what is not set keeps its default.

    Tuples are separated by commas, an empty value of an optional field means None, and `<NAME>_FILE` names a file that
    holds the value of `<NAME>`. Raises InvalidArgument (`FIELD_INVALID`) that names the variable.
    """
    hints = typing.get_type_hints(kind)
    values: dict[str, object] = {}
    for each in dataclasses.fields(kind):  # type: ignore[arg-type]
        name = prefix + each.name.upper()
        text = _text(name, environment)
        if text is not None:
            values[each.name] = _parsed(name, text, hints[each.name])
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise _invalid(name, "is not set and has no default")
    return kind(**values)


def described(settings: object) -> dict[str, str]:
    """The settings as text, secrets and passwords in URLs left out, for the first log line."""
    shown: dict[str, str] = {}
    for each in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, each.name)
        shown[each.name] = "***" if each.metadata.get("secret") and value else _shown(str(value))
    return shown


def _shown(value: str) -> str:
    for pattern in _PASSWORDS:
        value = pattern.sub(r"\1***", value)
    return value


def _text(name: str, environment: Mapping[str, str]) -> str | None:
    if name in environment:
        return environment[name]
    if f"{name}_FILE" not in environment:
        return None
    try:
        return Path(environment[f"{name}_FILE"]).read_text().strip()
    except OSError as error:
        raise _invalid(f"{name}_FILE", f"cannot be read: {error.strerror}") from error


def _parsed(name: str, text: str, hint: Any) -> object:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if text == "" else _parsed(name, text, inner)
    if origin is tuple:
        return tuple(_parsed(name, part.strip(), arguments[0]) for part in text.split(",") if part.strip())
    if hint is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise _invalid(name, f"{text[:40]!r} is neither true nor false")
        return text.lower() in ("true", "1")
    try:
        return hint(text)
    except ValueError as error:
        raise _invalid(name, f"{text[:40]!r} is not a value of {getattr(hint, '__name__', hint)}") from error


def _invalid(name: str, problem: str) -> InvalidArgument:
    return InvalidArgument("FIELD_INVALID", f"{name} {problem}", field=name)


__all__ = ["SECRET", "Common", "described", "field", "load"]
