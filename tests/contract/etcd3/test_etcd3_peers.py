"""The port on which etcd's members talk to each other: whoever is heard there writes past users, fences and fsync."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from suanmesh_chassis.ca import Issued, NodeCa, write_identity
from suanmesh_etcd3 import Tls, connect
from suanmesh_kernel.clock import SystemClock
from suanmesh_local.etcd import EtcdCluster, EtcdTls

HOSTS = ["etcd.contract.suanmesh", "127.0.0.1"]
STRANGERS = [
    "spiffe://contract/site/wuhu/agent",
    "spiffe://contract/party/demo/user/alice",
    "spiffe://contract/service/scheduler",
]


@pytest.fixture
def ca() -> NodeCa:
    """The authority of everybody."""
    return NodeCa.create("contract", SystemClock())


@pytest.fixture
async def cluster(ca: NodeCa, tmp_path: Path) -> AsyncIterator[EtcdCluster]:
    """Three members, which find each other by their certificates alone."""
    write_identity(tmp_path, ca.issue("spiffe://contract/service/etcd", HOSTS))
    files = EtcdTls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem", "service/etcd")
    async with EtcdCluster(tmp_path, 3, tls=files, client=_client(ca)) as members:
        yield members


def _client(ca: NodeCa) -> Tls:
    issued = ca.issue_etcd_root()
    return Tls(issued.ca, issued.certificate, issued.key, server_name="etcd.contract.suanmesh")


async def test_members_agree_over_mutual_tls(ca: NodeCa, cluster: EtcdCluster) -> None:
    """What one member has acknowledged must be with the others, though nothing between them is in the clear."""
    async with connect(cluster.endpoints[:1], tls=_client(ca)) as client:
        await client.put("/town/bread", b"warm")
    cluster.kill(0)
    await cluster.healthy(1)

    async with connect(cluster.endpoints[1:], tls=_client(ca)) as client:
        found = await client.get("/town/bread")

    assert found is not None
    assert found.value == b"warm"


async def test_a_peer_port_hears_members_only(ca: NodeCa, cluster: EtcdCluster, tmp_path: Path) -> None:
    """One POST to it wrote a key with no certificate at all; a site's or a user's must open it no more than none."""
    answers = {"in the clear": _asked(cluster.peer_ports[0], None)}
    answers["no certificate"] = _asked(cluster.peer_ports[0], _context(ca, None, tmp_path))
    for stranger in STRANGERS:
        answers[stranger] = _asked(cluster.peer_ports[0], _context(ca, ca.issue(stranger, HOSTS), tmp_path))
    member = ca.issue("spiffe://contract/service/etcd", HOSTS)

    assert _asked(cluster.peer_ports[0], _context(ca, member, tmp_path)) == 200
    assert set(answers.values()) == {0}, answers


async def test_nothing_but_grpc_is_served_to_clients(ca: NodeCa, cluster: EtcdCluster, tmp_path: Path) -> None:
    """The JSON gateway acts with the server's certificate, so whoever may speak to it would be etcd itself."""
    port = int(cluster.endpoints[0].rpartition(":")[2])
    context = _context(ca, ca.issue("spiffe://contract/site/wuhu/agent"), tmp_path)

    assert _asked(port, context, "POST", "/v3/kv/put", b'{"key": "L3Rvd24vYnJlYWQ=", "value": "Y29sZA=="}') == 404


def _context(ca: NodeCa, issued: Issued | None, folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca.pem.decode())
    context.check_hostname = False
    if issued is not None:
        write_identity(folder / "caller", issued)
        context.load_cert_chain(folder / "caller" / "cert.pem", folder / "caller" / "key.pem")
    return context


def _asked(
    port: int, context: ssl.SSLContext | None, verb: str = "GET", path: str = "/members", body: bytes | None = None
) -> int:
    """The status of an answer; 0 where there is none, as from a port that does not speak to the caller."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.sock = context.wrap_socket(plain) if context else plain
            connection.request(verb, path, body, {"Content-Type": "application/json"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()
    return status if context else _told_to_use_tls(status)


def _told_to_use_tls(status: int) -> int:
    """Go's server answers a request in the clear on a TLS port with a bare 400, before anybody sees it."""
    return 0 if status == 400 else status
