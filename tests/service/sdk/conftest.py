"""A server that says what it is told to, behind mutual TLS, and everything to call it with."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc import aio

from suanmesh_cli.main import suan
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk import Instance, Tls
from suanmesh_sdk.kept_gateways import FILE
from suanmesh_sdk.status import DETAILS_KEY, status_of

NODE = "demo"


class Authority:
    """A CA that issues P-256 certificates into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ca = folder / f"{name}-ca.pem"
        builder = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.ca.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *dns: str, days: int = 1) -> Tls:
        """A certificate for `name`; a negative number of days has passed already."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key, days)
        if dns:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in dns]), False)
        cert_path, key_path = self._folder / f"{name}-cert.pem", self._folder / f"{name}-key.pem"
        cert_path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key_path.write_bytes(key.private_bytes(*encoding))
        return Tls(self.ca, cert_path, key_path)

    def _builder(self, subject: x509.Name, key: Any, days: int = 1) -> x509.CertificateBuilder:
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        return (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(end - datetime.timedelta(days=2))
            .not_valid_after(end)
        )


Answer = Callable[[bytes, aio.ServicerContext[bytes, bytes]], Awaitable[bytes]]


@dataclass
class Oracle:
    """Answers every unary method with `answer`, every other with `stream`; remembers what it was asked."""

    address: str = ""
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str | bytes]] = field(default_factory=list)
    left_s: list[float] = field(default_factory=list)
    answer: Any = None
    answers: dict[str, Any] = field(default_factory=dict)
    """By method, where set: a message, a refusal, or for a stream a list of messages."""
    stream: Any = None
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = details.method.rpartition("/")[2]
        if method in ("ReportState",):
            return grpc.stream_stream_rpc_method_handler(self._stream)
        if method in ("WatchJob", "ReadFile", "ReadFiles", "ReadJobLogs"):
            told = self._oracle.answers.get(method)
            return grpc.unary_stream_rpc_method_handler(self._stream if told is None else telling(told))

        async def unary(request: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
            if method == "ListGateways" and method not in self._oracle.answers:
                return b""  # asked by whoever is the first to call within an hour: no call of the test
            self._note(method, request, context)
            told = self._oracle.answers.get(method)
            answer = self._oracle.answer(request, context) if told is None else said(told)
            return cast("bytes", await saying(context, answer))

        return grpc.unary_unary_rpc_method_handler(unary)

    def _note(self, method: str, request: bytes, context: Any) -> None:
        self._oracle.asked.append((method, request))
        self._oracle.headers.append(dict(context.invocation_metadata()))
        self._oracle.left_s.append(context.time_remaining())

    async def _stream(self, request: Any, context: Any) -> None:
        self._note("stream", b"", context)
        try:
            await saying(context, self._oracle.stream(request, context))
        except asyncio.CancelledError:
            self._oracle.cancelled.set()
            raise


async def said(told: Any) -> bytes:
    """A message as bytes, or the refusal raised."""
    if isinstance(told, Refusal):
        raise told
    return cast("bytes", told.SerializeToString())


def telling(told: Any) -> Any:
    """A handler that streams what it is told: bytes come from `bytes`, a callable sees the request."""

    async def stream(request: bytes, context: Any) -> None:
        async def write() -> None:
            for each in told(request) if callable(told) else told:
                await context.write(await said(each))

        await saying(context, write())

    return stream


async def saying(context: Any, answer: Awaitable[Any]) -> Any:
    """Await `answer`; a refusal crosses the wire as its status."""
    try:
        return await answer
    except Refusal as refusal:
        status = status_of(refusal, area="registry")
        context.set_trailing_metadata(((DETAILS_KEY, status.SerializeToString()),))
        code = next(each for each in grpc.StatusCode if each.name == refusal.code)
        await context.abort(code, refusal.message)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"), "node")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("foreign"), "stranger")


@pytest.fixture(scope="session")
def tls(authority: Authority) -> Tls:
    issued = authority.issue("caller")
    Path(str(issued.key)).with_name(FILE).touch()  # or the first call of all would ask which gateways there are
    return issued


def read(tls: Tls) -> tuple[bytes, bytes, bytes]:
    """The bytes of CA, certificate and key."""
    ca, cert, key = (Path(str(path)).read_bytes() for path in (tls.ca, tls.cert, tls.key))
    return ca, cert, key


Serve = Callable[[], Awaitable[Oracle]]


@pytest.fixture
async def serve(authority: Authority) -> AsyncIterator[Serve]:
    """Start one more server; all are stopped at the end."""
    names = [f"{area}.{NODE}.suanmesh" for area in ("gateway", "registry", "scheduler", "agent.a")]
    ca, cert, key = read(authority.issue("server", *names))
    credentials = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
    servers: list[aio.Server] = []

    async def one() -> Oracle:
        server = aio.server()
        oracle = Oracle()
        server.add_generic_rpc_handlers((_Handlers(oracle),))
        oracle.address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
        await server.start()
        servers.append(server)
        return oracle

    yield one
    for server in servers:
        await server.stop(0)


class Book:
    """A resolver the test writes."""

    def __init__(self, *instances: Instance) -> None:
        self.known = list(instances)
        self._changed = asyncio.Event()

    def instances(self, area: str) -> list[Instance]:
        return self.known

    def others(self, area: str) -> list[Instance]:
        return self.known

    async def changed(self, area: str) -> None:
        await self._changed.wait()

    def unanswered(self, address: str) -> None:
        """The test says what is known."""

    def rewrite(self, *instances: Instance) -> None:
        self.known = list(instances)
        self._changed.set()
        self._changed = asyncio.Event()


@pytest.fixture
def book() -> type[Book]:
    return Book


@pytest.fixture
async def oracle(serve: Any) -> Oracle:
    """One server, which answers for all of a mesh."""
    answering: Oracle = await serve()
    return answering


@pytest.fixture
def environment(oracle: Oracle, tls: Tls) -> dict[str, str]:
    """A context of `suan` from the environment alone."""
    told = {"SUANMESH_GATEWAY": oracle.address, "SUANMESH_NODE": NODE, "SUANMESH_CONFIG": "/dev/null"}
    return told | {"SUANMESH_CA": str(tls.ca), "SUANMESH_CERT": str(tls.cert), "SUANMESH_KEY": str(tls.key)}


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., Awaitable[Result]]:
    """What a command comes to that is typed there."""

    async def invoke(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, suan, list(arguments), obj=dict(environment))

    return invoke
