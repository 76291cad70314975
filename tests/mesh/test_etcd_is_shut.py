"""etcd of a running node, asked by those who hold a certificate of the node and have no business there."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanmesh_etcd3 import Client, Denied, Tls, connect
from suanmesh_local.identities import AREAS
from suanmesh_local.node import Node
from suanmesh_store.layout import ROOT

pytestmark = pytest.mark.mesh


def etcd(node: Node, home: Path) -> Client:
    """A client that shows the certificate in `home`."""
    ca, certificate, key = ((home / name).read_bytes() for name in ("ca.pem", "cert.pem", "key.pem"))
    server = node.identities.etcd_client("registry").server_name
    return connect(node.endpoints, tls=Tls(ca, certificate, key, server))


async def test_sites_and_people_read_nothing_of_it(node: Node) -> None:
    """Jobs, prices and holds of every party lie there; who joins a site or submits a job sees them by RPC only."""
    site = node.places[0].site
    for home in (
        node.folder / "sites" / site / "identity",
        node.identities.of("alice"),
        node.identities.of("operator"),
    ):
        async with etcd(node, home) as client:
            with pytest.raises(Denied):
                await client.snapshot(f"{ROOT}/")
            with pytest.raises(Denied):
                await client.put(f"{ROOT}/registry/parties/parties/mallory", b"")


@pytest.mark.parametrize("area", AREAS)
async def test_a_service_cannot_write_what_another_decides(node: Node, area: str) -> None:
    """One writer per prefix is kept by etcd, so a fault in one service cannot rewrite what another answers for."""
    async with etcd(node, node.identities.of(area)) as client:
        for other in AREAS:
            for prefix in (f"{ROOT}/{other}/", f"{ROOT}/elections/{other}/", f"{ROOT}/instances/{other}/"):
                if other != area:
                    with pytest.raises(Denied):
                        await client.put(f"{prefix}mallory", b"")
