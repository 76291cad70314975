"""A server we did not set up: certificates on both sides, and etcd's own limit of operations."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from suanmesh_chassis.ca import Issued, NodeCa, write_identity
from suanmesh_etcd3 import Client, Op, Tls, TooManyOperations, Unavailable, connect
from suanmesh_kernel.clock import SystemClock
from suanmesh_local.etcd import EtcdCluster, EtcdServer, EtcdTls, peer_url
from suanmesh_local.ports import free_ports

FOREIGN_TXN_OPS = 128


class ForeignServer(EtcdServer):
    """A member with etcd's default limit."""

    def command(self) -> list[str]:
        return [argument for argument in super().command() if not argument.startswith("--max-txn-ops")]


@pytest.fixture
def ca() -> NodeCa:
    """The authority both sides trust."""
    return NodeCa.create("contract", SystemClock())


@pytest.fixture
async def address(ca: NodeCa, tmp_path: Path) -> AsyncIterator[str]:
    """Where a member listens that asks for certificates."""
    issued = ca.issue("spiffe://contract/service/etcd", ["etcd.contract.suanmesh", "127.0.0.1"])
    write_identity(tmp_path, issued)
    files = EtcdTls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem", "service/etcd")
    cluster = EtcdCluster(tmp_path, client=tls_of(issued))
    client_port, peer_port = free_ports(2)
    announced = f"m0={peer_url(peer_port, files)}"
    cluster.members = [ForeignServer("m0", tmp_path, client_port, peer_port, announced, files)]
    async with cluster:
        yield cluster.endpoints[0]


def tls_of(issued: Issued) -> Tls:
    return Tls(issued.ca, issued.certificate, issued.key, server_name="etcd.contract.suanmesh")


@pytest.fixture
async def client(ca: NodeCa, address: str) -> AsyncIterator[Client]:
    """A client with a certificate of the same authority."""
    async with connect([address], tls=tls_of(ca.issue("spiffe://contract/service/registry"))) as client:
        yield client


async def test_only_a_certificate_of_the_node_is_let_in(client: Client, address: str, prefix: str) -> None:
    """etcd holds every decision of the node; nobody else may read it, and the refusal must say why."""
    await client.put(prefix, b"")
    stranger = NodeCa.create("stranger", SystemClock()).issue("spiffe://stranger/service/registry")

    async with connect([address], tls=tls_of(stranger), timeout_s=0.5) as client:
        with pytest.raises(Unavailable, match=r"(?i)handshake|certificate"):
            await client.get(prefix)
    async with connect([address], timeout_s=0.5) as client:
        with pytest.raises(Unavailable):
            await client.get(prefix)


async def test_a_server_with_a_low_limit_is_packed_for(client: Client, prefix: str) -> None:
    """An etcd we did not start takes 128 operations; the load must get through all the same."""
    with pytest.raises(TooManyOperations):
        await client.txn([], [Op.put(f"{prefix}{n}", b"") for n in range(FOREIGN_TXN_OPS + 1)])

    assert await client.max_txn_ops(prefix) == FOREIGN_TXN_OPS
    assert await client.bulk_put((f"{prefix}{n}", b"") for n in range(1_100)) == 1_100
    assert await client.count(prefix) == 1_100
