"""What Prometheus and probes are answered, who is answered, and that nobody keeps them from it."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from suanmesh_chassis import Served
from suanmesh_chassis.ca import NodeCa, write_identity
from suanmesh_chassis.call import Caller
from suanmesh_chassis.http_listener import CONNECTIONS_MAX, HEAD_BYTES_MAX, HttpListener
from suanmesh_chassis.http_tls import ReloadingTls
from suanmesh_chassis.identity import service_id, user_id
from suanmesh_chassis.monitoring import Monitoring
from suanmesh_chassis.probe import PROBE_SERVICE, SERVICE, Probe, Probes
from suanmesh_chassis.process import Process
from suanmesh_chassis.testing import NODE, OPERATOR, USER, LoopbackNode
from suanmesh_kernel.refusals import Refusal, Unauthenticated
from suanmesh_local.scrapes import scraped, targets_of, trusting
from suanmesh_local.top import seen
from suanmesh_telemetry import names
from suanmesh_telemetry.readings import Reading
from tests.service.chassis.http import get, showing


class Watched:
    """The monitoring of a process whose health is what a test says."""

    def __init__(self, process: Process) -> None:
        self.ready, self.components = True, {"probe.records": True}
        self.revoked: set[str] = set()
        self.monitoring = Monitoring(process, lambda: (self.ready, self.components), self._refused)

    def _refused(self, caller: Caller) -> Refusal | None:
        return Unauthenticated("CERTIFICATE_REVOKED", "") if caller.principal in self.revoked else None


@pytest.fixture
def process(node: LoopbackNode, tmp_path: Path) -> Process:
    made = node.process("probe", metrics_party="parties/watchers")  # type: ignore[arg-type]
    write_identity(tmp_path, node.ca.issue(service_id(NODE, "probe"), ["probe.test.suanmesh"]))
    return made


@pytest.fixture
def watched(process: Process) -> Watched:
    return Watched(process)


@pytest.fixture
async def plain(watched: Watched) -> AsyncIterator[int]:
    async with HttpListener("127.0.0.1:0", watched.monitoring.answer) as listener:
        yield listener.port


@pytest.fixture
def tls(tmp_path: Path, process: Process) -> ReloadingTls:
    return ReloadingTls(tmp_path)


@pytest.fixture
async def secure(watched: Watched, tls: ReloadingTls) -> AsyncIterator[int]:
    async with HttpListener("127.0.0.1:0", watched.monitoring.answer, tls) as listener:
        yield listener.port


async def test_a_process_says_whether_calls_may_come(watched: Watched, plain: int) -> None:
    """A load balancer that is told too early, or never, loses calls of users."""
    watched.components = {"probe.records": True, "probe.ledger": False}
    ready = await get(plain, "/readyz")
    watched.ready = False
    not_ready = await get(plain, "/readyz")

    assert (ready.status, ready.body) == (200, "ready\nprobe.ledger has a fault\nprobe.records ok\n")
    assert (not_ready.status, not_ready.body.splitlines()[0]) == (503, "not ready")
    assert (await get(plain, "/healthz")).status == 200
    assert (await get(plain, "/else")).status == 404


async def test_a_call_is_counted_with_the_trace_that_it_belongs_to(node: LoopbackNode, plain: int) -> None:
    """Whoever is on call goes from a slow bucket to a trace that was slow."""
    address = await node.serve(node.process("probe"), [Served(PROBE_SERVICE, Probes())])
    channel = node.mesh(address, traced=True).channel("probe")
    read = channel.unary_unary(f"/{SERVICE}/Read", Probe.SerializeToString, Probe.FromString)
    await read(Probe(text="hello"))

    metrics = await get(plain, "/metrics")
    while not re.search(rf'{names.SERVER_DURATION}_bucket.*{SERVICE}/Read.*trace_id="', metrics.body):
        metrics = await get(plain, "/metrics")  # a call is counted once its answer is gone

    assert metrics.content_type.startswith("application/openmetrics-text")
    assert metrics.body.endswith("# EOF\n")


async def test_a_reading_that_fails_takes_no_other_with_it(watched: Watched, plain: int) -> None:
    """One defect in the middle of an incident must not blind everybody."""

    def broken() -> Iterator[Reading]:
        raise RuntimeError("no such luck")

    with watched.monitoring.showing([broken, lambda: [Reading(names.QUEUE_JOBS, 3, ("NO_CAPACITY",))]]):
        metrics = await get(plain, "/metrics")
    gone = await get(plain, "/metrics")

    assert 'suan_queue_jobs{reason="NO_CAPACITY"} 3.0' in metrics.body
    assert 'suan_defects_total{work="metrics"}' in gone.body
    assert "suan_queue_jobs" not in gone.body


async def test_days_left_of_certificates_are_told(plain: int) -> None:
    """A certificate that expires unnoticed stops a service."""
    body = (await get(plain, "/metrics")).body
    left = [line for line in body.splitlines() if line.startswith('suan_certificate_expiry_seconds{kind="process"}')]

    assert float(left[0].split()[-1]) > 0


@pytest.mark.parametrize(
    ("who", "status"),
    [
        (OPERATOR, 200),
        (user_id(NODE, "watchers", "prometheus"), 200),
        (USER, 403),
        (service_id(NODE, "registry"), 403),
        ("", 403),
    ],
)
async def test_metrics_over_tls_are_for_operators_and_their_watchers(
    node: LoopbackNode, secure: int, tmp_path: Path, who: str, status: int
) -> None:
    """What a node holds, and for whom money moves, is not for every user of it."""
    client = showing(tmp_path / "who", node.ca.issue(who or USER), shows=bool(who))

    assert (await get(secure, "/metrics", tls=client)).status == status
    assert (await get(secure, "/readyz", tls=client)).status == 200


async def test_a_certificate_of_another_authority_is_nobodys(node: LoopbackNode, secure: int, tmp_path: Path) -> None:
    """Else whoever runs a node of the same name anywhere reads the metrics of this one."""
    stranger = NodeCa.create(NODE, node.clock).issue(OPERATOR)
    client = showing(tmp_path / "who", stranger, trusts=node.ca.issue(OPERATOR).ca)

    with pytest.raises((OSError, IndexError)):
        await get(secure, "/metrics", tls=client)


async def test_a_new_certificate_is_shown_without_a_restart(
    node: LoopbackNode, secure: int, tls: ReloadingTls, tmp_path: Path
) -> None:
    """Certificates are renewed while everything runs, and Prometheus goes on reading."""
    client = showing(tmp_path / "who", node.ca.issue(OPERATOR))

    async def serial() -> object:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", secure, ssl=client, server_hostname="probe.test.suanmesh"
        )
        certificate = writer.get_extra_info("ssl_object").getpeercert()
        writer.close()
        return certificate["serialNumber"]

    before = await serial()
    write_identity(tmp_path, node.ca.issue(service_id(NODE, "probe"), ["probe.test.suanmesh"]))
    tls.look()

    assert await serial() != before


async def test_files_that_do_not_fit_each_other_are_not_taken_up(
    node: LoopbackNode, secure: int, tls: ReloadingTls, tmp_path: Path
) -> None:
    """A certificate is written before its key: in between the listener shows what it had."""
    other = node.ca.issue(service_id(NODE, "probe"), ["probe.test.suanmesh"])
    (tmp_path / "cert.pem").write_bytes(other.certificate)
    tls.look()
    client = showing(tmp_path / "who", node.ca.issue(OPERATOR))

    assert (await get(secure, "/healthz", tls=client)).status == 200


async def test_a_head_that_is_too_long_is_not_read(plain: int) -> None:
    """Else anybody on the machine fills the memory of a service."""
    reader, writer = await asyncio.open_connection("127.0.0.1", plain)
    with suppress(ConnectionError):
        writer.write(b"GET / HTTP/1.1\r\nX: " + b"x" * (2 * HEAD_BYTES_MAX) + b"\r\n\r\n")
        await writer.drain()
    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()

    assert (await get(plain, "/healthz")).status == 200


@pytest.mark.parametrize("secured", [False, True])
async def test_who_connects_and_says_nothing_takes_neither_files_nor_turns(
    watched: Watched, tls: ReloadingTls, node: LoopbackNode, tmp_path: Path, secured: bool
) -> None:
    """A stranger at the port has a service started anew that no probe reaches, or leaves it without files to open."""
    who = showing(tmp_path / "olga", node.ca.issue(OPERATOR)) if secured else None
    answer, given = watched.monitoring.answer, tls if secured else None
    async with HttpListener("127.0.0.1:0", answer, given, exchange_s=3600) as listener:
        silent = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(2 * CONNECTIONS_MAX)]

        assert (await get(listener.port, "/healthz", tls=who)).status == 200
        for reader, _ in silent[:CONNECTIONS_MAX]:
            with suppress(ConnectionError):
                assert await reader.read() == b""
    for _, writer in silent:
        writer.close()


async def test_a_path_that_is_none_is_no_defect(plain: int, caplog: pytest.LogCaptureFixture) -> None:
    """A stranger writes a page of log with each request."""
    assert (await get(plain, "//[")).status == 404
    assert not caplog.records


async def test_who_was_revoked_reads_no_metrics(
    watched: Watched, secure: int, node: LoopbackNode, tmp_path: Path
) -> None:
    """Somebody who has left goes on seeing which parties and sites a node has, and how busy they are."""
    tls = showing(tmp_path / "olga", node.ca.issue(OPERATOR))
    before = await get(secure, "/metrics", tls=tls)
    watched.revoked.add(OPERATOR)

    assert (before.status, (await get(secure, "/metrics", tls=tls)).status) == (200, 403)


async def test_a_listener_that_ends_lets_go_of_who_says_nothing(watched: Watched) -> None:
    """A service that is told to stop stops."""
    async with HttpListener("127.0.0.1:0", watched.monitoring.answer) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        await get(listener.port, "/healthz")

    with suppress(ConnectionError, ssl.SSLError):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize(("who", "state"), [(OPERATOR, "ready"), (USER, "refused")])
async def test_who_is_on_call_sees_processes_of_another_machine_as_far_as_he_may(
    node: LoopbackNode, watched: Watched, tls: ReloadingTls, tmp_path: Path, who: str, state: str
) -> None:
    """`suan top` said "no answer" of every process whose metrics have TLS, as if all of them were dead."""
    identity = tmp_path / "who"
    write_identity(identity, node.ca.issue(who))
    async with HttpListener("0.0.0.0:0", watched.monitoring.answer, tls) as listener:
        file = tmp_path / "targets.json"
        labels = {"node": NODE, "area": "probe", "process": "probe-2"}
        file.write_text(json.dumps([{"targets": [f"0.0.0.0:{listener.port}"], "labels": labels}]))
        asks = trusting(*(identity / f"{kind}.pem" for kind in ("ca", "cert", "key")))
        looks = [await scraped(targets_of(file), asks) for _ in range(2)]

    [row] = seen(looks[0], looks[1], 1.0).processes
    assert (row.name, row.state) == ("probe-2", state)
    assert (row.memory_bytes > 0) == (state == "ready")
