"""An etcd that tells its users apart by their certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from suanmesh_chassis.ca import Issued, NodeCa, write_identity
from suanmesh_etcd3 import Client, Compare, Denied, Op, Tls, User, confine, connect
from suanmesh_kernel.clock import SystemClock
from suanmesh_local.etcd import EtcdCluster, EtcdTls

BAKER = User("service/baker", reads=("/town/",), writes=("/town/baker/",))
SMITH = User("service/smith", reads=("/town/",), writes=("/town/smith/", "/town/market/"))


@pytest.fixture
def ca() -> NodeCa:
    """The authority of everybody."""
    return NodeCa.create("contract", SystemClock())


def tls_of(issued: Issued) -> Tls:
    return Tls(issued.ca, issued.certificate, issued.key, server_name="etcd.contract.suanmesh")


@pytest.fixture
async def address(ca: NodeCa, tmp_path: Path) -> AsyncIterator[str]:
    """Where an etcd of its own listens: what is confined stays so, and others share theirs."""
    async with EtcdCluster(tmp_path, tls=members_files(ca, tmp_path), client=tls_of(ca.issue_etcd_root())) as cluster:
        yield cluster.endpoints[0]


def members_files(ca: NodeCa, folder: Path) -> EtcdTls:
    """What members on this machine show their clients and each other."""
    hosts = ["etcd.contract.suanmesh", "127.0.0.1"]
    write_identity(folder, ca.issue("spiffe://contract/service/etcd", hosts))
    return EtcdTls(folder / "cert.pem", folder / "key.pem", folder / "ca.pem", "service/etcd")


@pytest.fixture
async def root(ca: NodeCa, address: str) -> AsyncIterator[Client]:
    """Whoever sets etcd up."""
    async with connect([address], tls=tls_of(ca.issue_etcd_root())) as client:
        await confine(client, [BAKER, SMITH])
        yield client


@pytest.fixture
async def baker(ca: NodeCa, address: str, root: Client) -> AsyncIterator[Client]:
    """A service."""
    async with connect([address], tls=tls_of(ca.issue("spiffe://contract/service/baker"))) as client:
        yield client


async def value_at(client: Client, key: str) -> bytes | None:
    found = await client.get(key)
    return found and found.value


async def test_a_service_writes_under_its_own_prefix_alone(root: Client, baker: Client) -> None:
    """One service with a fault, or taken over, must not be able to rewrite what another decided."""
    await root.put("/town/smith/sword", b"sharp")

    await baker.put("/town/baker/bread", b"warm")

    assert await value_at(baker, "/town/smith/sword") == b"sharp"
    with pytest.raises(Denied):
        await baker.put("/town/smith/sword", b"blunt")
    with pytest.raises(Denied):
        await baker.delete_prefix("/town/")
    both = [Op.put("/town/baker/bread", b"cold"), Op.delete("/town/smith/sword")]
    with pytest.raises(Denied):
        await baker.txn([Compare.version("/town/baker/bread", ">", 0)], both)
    assert await value_at(root, "/town/baker/bread") == b"warm"


async def test_a_lease_does_not_carry_a_service_over_its_fence(root: Client, baker: Client) -> None:
    """Ending a lease deletes its keys; whoever may not delete them must not end it either."""
    lease = await root.grant(60)
    await root.put("/town/smith/stall", b"", lease=lease)

    with pytest.raises(Denied):
        await baker.revoke(lease)

    assert await root.get("/town/smith/stall") is not None


async def test_who_is_no_user_reads_nothing(ca: NodeCa, address: str, root: Client) -> None:
    """Sites and people hold certificates of the same authority; etcd holds everybody's jobs and money."""
    await root.put("/town/baker/bread", b"warm")
    for stranger in ("spiffe://contract/site/wuhu/agent", "spiffe://contract/party/demo/user/alice"):
        async with connect([address], tls=tls_of(ca.issue(stranger))) as client:
            with pytest.raises(Denied):
                await client.get("/town/baker/bread")
            with pytest.raises(Denied):
                await client.put("/town/baker/bread", b"cold")
            with pytest.raises(Denied):
                await anext(client.watch("/town/", after_revision=0))


async def test_what_a_service_may_no_longer_do_ends(root: Client, baker: Client) -> None:
    """A prefix that moves to another service in a new version must not stay open to the old one."""
    await confine(root, [User("service/baker", reads=("/town/",), writes=("/town/oven/",))])

    await baker.put("/town/oven/door", b"shut")
    with pytest.raises(Denied):
        await baker.put("/town/baker/bread", b"cold")


async def test_a_service_may_ask_where_the_members_are(baker: Client, address: str) -> None:
    """One that may not would keep to machines that were replaced since it was started."""
    assert await baker.members() == [address]
