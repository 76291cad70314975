"""Spans go to the node's own store and to whatever receivers of OTLP an operator names, each by itself."""

from __future__ import annotations

import asyncio
import gzip
import os
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from suanmesh_chassis.ca import NodeCa, server_name, write_identity
from suanmesh_chassis.identity import service_id
from suanmesh_chassis.settings import Common
from suanmesh_chassis.span_backends import BACKENDS_MAX, span_backends
from suanmesh_chassis.testing import NODE
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_telemetry.http_target import HttpTarget
from suanmesh_telemetry.traces import OtlpTarget

SENDER = """
import os, sys
from random import Random
from suanmesh_chassis.settings import Common, load
from suanmesh_chassis.span_backends import span_backends
from suanmesh_telemetry.rpc import CallSpans
from suanmesh_telemetry.traces import Origin, start_tracing
common = load(Common, "SUANMESH_", os.environ)
start_tracing(Origin("registry", "one", common.node, "9.9", "here"), span_backends(common, os.environ))
CallSpans(1.0, Random(1)).serve("a.B/C", "KEYED", "").end()
sys.stdin.read()
"""
"""Sends one span and waits until it is told to end."""


@dataclass
class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """A receiver as OpenTelemetry's own stubs make it."""

    requests: list[trace_service_pb2.ExportTraceServiceRequest] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.aio.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.requests.append(request)
        self.headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        self.came.set()
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list[str]:
        return [
            span.name
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def resource(self) -> Mapping[str, str]:
        attributes = self.requests[0].resource_spans[0].resource.attributes
        return {each.key: each.value.string_value for each in attributes}


@asynccontextmanager
async def receiving(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[Receiver]:
    server, receiver = grpc.aio.server(), Receiver()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    here = "127.0.0.1:0"
    receiver.port = server.add_secure_port(here, credentials) if credentials else server.add_insecure_port(here)
    await server.start()
    try:
        yield receiver
    finally:
        await server.stop(0)


@asynccontextmanager
async def receiving_over_http(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver of OTLP over HTTP; `headers` has the path of the request too."""
    receiver, loop = Receiver(), asyncio.get_running_loop()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.requests.append(trace_service_pb2.ExportTraceServiceRequest.FromString(body))
            receiver.headers = {":path": self.path, **{name.lower(): value for name, value in self.headers.items()}}
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()
            loop.call_soon_threadsafe(receiver.came.set)

        def log_message(self, *_said: object) -> None:
            """The output of tests is theirs."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


@asynccontextmanager
async def sending(**environment: str) -> AsyncIterator[None]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SENDER, env={**os.environ, **environment}, stdin=asyncio.subprocess.PIPE
    )
    try:
        yield
    finally:
        child.kill()
        await child.wait()


def authority(folder: Path, host: str = "localhost") -> tuple[grpc.ServerCredentials, Path]:
    """A server's credentials by an authority that nobody else knows, and the file of that authority."""
    issued = NodeCa.create("backend", SystemClock()).issue("spiffe://backend/service/collector", [host])
    folder.mkdir()
    (folder / "ca.pem").write_bytes(issued.ca)
    return grpc.ssl_server_credentials([(issued.key, issued.certificate)]), folder / "ca.pem"


@pytest.fixture
def identity(tmp_path: Path) -> tuple[Path, grpc.ServerCredentials]:
    """The folder of a process, and what the trace store of its node asks for and shows."""
    ca = NodeCa.create(NODE, SystemClock())
    write_identity(tmp_path / "tls", ca.issue(service_id(NODE, "registry"), [server_name(NODE, "registry")]))
    store = ca.issue(service_id(NODE, "gateway"), [server_name(NODE, "gateway")])
    return tmp_path / "tls", grpc.ssl_server_credentials([(store.key, store.certificate)], store.ca, True)


async def test_the_store_of_the_node_and_two_others_each_have_every_span(
    identity: tuple[Path, grpc.ServerCredentials], tmp_path: Path
) -> None:
    """An operator who sends traces to a backend of his goes on seeing them with `suan trace show`; and no token of one
    backend is told to another."""
    folder, own = identity
    theirs, ca = authority(tmp_path / "theirs")
    async with receiving(own) as store, receiving(theirs) as secure, receiving() as plain:
        backends = tmp_path / "backends.toml"
        backends.write_text(
            f'[[backend]]\nendpoint = "http://127.0.0.1:{plain.port}"\nheaders = "x-team=blue"\ncompression = "gzip"\n'
        )
        async with sending(
            SUANMESH_NODE=NODE,
            SUANMESH_TLS_DIR=str(folder),
            SUANMESH_OTLP_ENDPOINT=f"127.0.0.1:{store.port}",
            SUANMESH_OTLP_BACKENDS=str(backends),
            OTEL_EXPORTER_OTLP_ENDPOINT=f"https://localhost:{secure.port}",
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(ca),
            OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20s3cret",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=pilot",
        ):
            for receiver in (store, secure, plain):
                await receiver.came.wait()

    for receiver in (store, secure, plain):
        assert receiver.spans() == ["a.B/C"]
        assert receiver.headers["suanmesh-node"] == NODE
        told = receiver.resource()
        assert (told["service.name"], told["service.version"], told["host.name"]) == ("registry", "9.9", "here")
        assert (told["suanmesh.node"], told["deployment.environment.name"]) == (NODE, "pilot")
    assert secure.headers["authorization"] == "Bearer s3cret"
    assert plain.headers["x-team"] == "blue"
    assert "authorization" not in store.headers.keys() | plain.headers.keys()


async def test_a_backend_that_is_away_takes_no_span_from_another(tmp_path: Path) -> None:
    """A collector that is down must not cost the traces that the others would have."""
    theirs, ca = authority(tmp_path / "theirs", host="elsewhere.example")  # its name is not the one that is asked
    async with receiving() as plain, receiving(theirs) as refused:
        backends = tmp_path / "backends.toml"
        backends.write_text(
            f'[[backend]]\nendpoint = "localhost:{refused.port}"\ncertificate = "{ca}"\n'
            f'[[backend]]\nendpoint = "127.0.0.1:{plain.port}"\ninsecure = true\n'
        )
        async with sending(SUANMESH_NODE=NODE, SUANMESH_OTLP_BACKENDS=str(backends)):
            await plain.came.wait()

    assert plain.spans() == ["a.B/C"]
    assert not refused.requests


async def test_backends_over_http_have_every_span_and_no_token_of_another(tmp_path: Path) -> None:
    """Many a vendor takes OTLP over HTTP alone; what is told for one backend by variables is not told to the next."""
    ca = NodeCa.create("backend", SystemClock())
    server, client = (ca.issue(f"spiffe://backend/service/{name}", ["localhost"]) for name in ("collector", "sender"))
    files = {"ca": client.ca, "cert": client.certificate, "key": client.key, "own": server.certificate + server.key}
    for name, content in files.items():
        (tmp_path / f"{name}.pem").write_bytes(content)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca.pem"))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(tmp_path / "own.pem")
    async with receiving_over_http(tls) as secure, receiving_over_http() as plain, receiving() as over_grpc:
        backends = tmp_path / "backends.toml"
        backends.write_text(
            f'[[backend]]\nendpoint = "http://127.0.0.1:{plain.port}/otlp/"\nprotocol = "http/protobuf"\n'
            'headers = "x-team=blue"\ncompression = "gzip"\n'
            f'[[backend]]\nendpoint = "http://127.0.0.1:{over_grpc.port}"\n'
        )
        async with sending(
            SUANMESH_NODE=NODE,
            SUANMESH_OTLP_BACKENDS=str(backends),
            OTEL_EXPORTER_OTLP_ENDPOINT=f"https://localhost:{secure.port}",
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_EXPORTER_OTLP_CERTIFICATE=str(tmp_path / "ca.pem"),
            OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=str(tmp_path / "cert.pem"),
            OTEL_EXPORTER_OTLP_CLIENT_KEY=str(tmp_path / "key.pem"),
            OTEL_EXPORTER_OTLP_HEADERS="Authorization=Bearer%20s3cret",
        ):
            for receiver in (secure, plain, over_grpc):
                await receiver.came.wait()

    for receiver in (secure, plain, over_grpc):
        assert receiver.spans() == ["a.B/C"]
        assert receiver.headers["suanmesh-node"] == NODE
    assert (secure.headers[":path"], plain.headers[":path"]) == ("/v1/traces", "/otlp/v1/traces")
    assert secure.headers["authorization"] == "Bearer s3cret"
    assert plain.headers["x-team"] == "blue"
    assert "authorization" not in plain.headers.keys() | over_grpc.headers.keys()


@pytest.mark.parametrize(
    ("environment", "field"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://one:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "protocol"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://one"}, "endpoint"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:s3cret@one:1"}, "endpoint"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "one:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "endpoint"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://one:1"}, "endpoint"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://one:hundred"}, "endpoint"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "one:1", "OTEL_EXPORTER_OTLP_HEADERS": "token"}, "headers"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "one:1", "OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, "compression"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "one:1", "OTEL_EXPORTER_OTLP_CLIENT_KEY": "key.pem"}, "client_key"),
    ],
)
def test_a_backend_that_cannot_be_is_refused_before_anything_starts(environment: dict[str, str], field: str) -> None:
    """A wrong setting is said once, at the start, and not by traces that never come."""
    with pytest.raises(InvalidArgument) as refusal:
        span_backends(Common(), environment)

    assert refusal.value.facts["field"] == field


@pytest.mark.parametrize(
    "text", ['[[backend]]\nendpont = "one:1"\n', 'endpoint = "one:1"\n', "[[backend]]\nendpoint = 'one:1'\n" * 9]
)
def test_a_file_of_backends_that_says_something_else_is_refused(tmp_path: Path, text: str) -> None:
    """A misspelt field would leave a backend without its token, or without its spans."""
    file = tmp_path / "backends.toml"
    file.write_text(text)

    with pytest.raises(InvalidArgument):
        span_backends(Common(otlp_backends=file), {})
    assert text.count("[[backend]]") < 2 or text.count("[[backend]]") > BACKENDS_MAX


def test_what_is_told_for_traces_comes_before_what_is_told_for_all(tmp_path: Path) -> None:
    """OpenTelemetry's variables mean here what they mean elsewhere."""
    [target] = span_backends(
        Common(),
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://all:1",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:2",
            "OTEL_EXPORTER_OTLP_HEADERS": "a=1,b=x%20y",
        },
    )

    assert isinstance(target, OtlpTarget)
    assert (target.endpoint, target.plain) == ("traces:2", True)
    assert target.headers == (("a", "1"), ("b", "x y"))
    assert "x y" not in repr(target)


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"ENDPOINT": "https://one"}, "https://one/v1/traces"),
        ({"ENDPOINT": "https://one:4318/api/otlp/"}, "https://one:4318/api/otlp/v1/traces"),
        ({"ENDPOINT": "https://all", "TRACES_ENDPOINT": "https://one/own/path"}, "https://one/own/path"),
    ],
)
def test_over_http_the_path_is_that_of_the_standard(variables: dict[str, str], url: str) -> None:
    """What a vendor's page says of OpenTelemetry's variables is right here too."""
    told = {"PROTOCOL": "http/protobuf", **variables}

    [target] = span_backends(Common(), {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in told.items()})

    assert isinstance(target, HttpTarget)
    assert target.url == url
