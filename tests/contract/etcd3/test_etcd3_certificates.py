"""An etcd whose clients' and members' certificates are replaced while it runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from suanmesh_chassis.ca import NodeCa
from suanmesh_etcd3 import Batch, Tls, User, confine, connect
from suanmesh_kernel.clock import SystemClock
from suanmesh_local.etcd import EtcdCluster
from tests.contract.etcd3.test_etcd3_access import members_files, tls_of

EVERYWHERE = ("/town/",)


async def test_certificates_are_replaced_while_calls_and_watches_go_on(tmp_path: Path) -> None:
    """Whoever renews the certificates of a node must not have to stop what keeps all that it knows."""
    ca = NodeCa.create("contract", SystemClock())
    shown: list[Tls] = [tls_of(ca.issue("spiffe://contract/service/baker"))]
    root = tls_of(ca.issue_etcd_root())
    async with (
        EtcdCluster(tmp_path, tls=members_files(ca, tmp_path), client=root) as cluster,
        connect(cluster.endpoints, tls=root) as ruler,
        connect(cluster.endpoints, tls=lambda: shown[-1]) as client,
    ):
        baker = User("service/baker", EVERYWHERE, ("/town/a/",))
        await confine(ruler, [baker, User("service/smith", EVERYWHERE, EVERYWHERE)])
        revision = await client.put("/town/a/bread", b"warm")
        changes = client.watch("/town/", after_revision=revision)
        async with asyncio.timeout(60):
            await client.put("/town/a/bread", b"cold")
            assert isinstance(await anext(changes), Batch)

            members_files(ca, tmp_path)
            shown.append(tls_of(ca.issue("spiffe://contract/service/smith")))
            await client.put("/town/b/sword", b"sharp")  # which is for smiths alone

            batch = await anext(changes)
            assert isinstance(batch, Batch)
            assert [event.key for event in batch.events] == [b"/town/b/sword"]
        await changes.aclose()
