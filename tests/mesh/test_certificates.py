"""A node whose certificates are short-lived, and whose authority is replaced: nobody who calls notices."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from suanmesh_local.identities import rotate_authority
from suanmesh_local.node import Node
from suanmesh_local.tending import Tender
from suanmesh_local.traffic import Traffic

pytestmark = pytest.mark.mesh

DAY_S = 86_400
SHORT_S = 40
"""A life of which a third is enough for a busy machine to renew in, and for a node to start in."""
LONG_S = 120
PACE_S = 0.05


@contextmanager
def node_of(folder: Path, life_s: float, etcd_members: int) -> Iterator[Node]:
    """A node with two sites, every certificate of which is good for `life_s` seconds."""
    days = str(life_s / DAY_S)
    told = {"SUANMESH_REGISTRY_CERTIFICATE_DAYS": days, "SUANMESH_REGISTRY_USER_CERTIFICATE_DAYS": days}
    node = Node(folder, 2, etcd_members=etcd_members, overrides=told)
    try:
        asyncio.run(node.start())
        yield node
    finally:
        asyncio.run(node.stop())


def shown_by(node: Node) -> dict[str, x509.Certificate]:
    """The certificate of everybody who shows one: services, sites, etcd, the users of the traffic."""
    homes = [*(node.identities.of(who) for who in (*node.services, "etcd", "alice", "operator"))]
    homes += [node.folder / "sites" / site / "identity" for site in node.agents]
    return {str(home): x509.load_pem_x509_certificate((home / "cert.pem").read_bytes()) for home in homes}


def authorities_of(node: Node) -> dict[str, int]:
    """How many authorities each of them trusts."""
    files = {home: Path(home) / "ca.pem" for home in shown_by(node)}
    return {home: len(x509.load_pem_x509_certificates(file.read_bytes())) for home, file in files.items()}


async def until_renewed(node: Node, before: dict[str, x509.Certificate]) -> None:
    """Wait until nobody shows the certificate any more that they showed before."""
    while any(before[who] == certificate for who, certificate in shown_by(node).items()):  # noqa: ASYNC110 - files
        await asyncio.sleep(0.5)


def test_all_certificates_renew_while_the_node_is_used(tmp_path: Path) -> None:
    """What renews by itself must not cost whoever works meanwhile a single call, and makes the next authority known."""
    _played(tmp_path, SHORT_S, 0)


@pytest.mark.certificates
@pytest.mark.timeout(0)
def test_certificates_of_two_minutes_for_long(tmp_path: Path) -> None:
    """What renews once may still end what is open for long, or leave something behind each time."""
    seconds = float(os.environ.get("MINUTES", "10")) * 60
    _played(tmp_path, LONG_S, seconds)


def _played(folder: Path, life_s: float, seconds: float) -> None:
    with node_of(folder, life_s, etcd_members=3 if seconds else 1) as node:
        traffic = asyncio.run(_used(node, timedelta(seconds=life_s), seconds))
        trusted = set(authorities_of(node).values())
    areas = {made.area for made in traffic.made if made.writes}
    print(f"{len(traffic.made)} calls, {len(traffic.failed)} failed; certificates of {life_s:g} s")
    assert areas == set(traffic.writes)
    assert traffic.failed == []
    assert trusted == {1 if seconds >= 4 * life_s else 2}


async def _used(node: Node, overlap: timedelta, seconds: float) -> Traffic:
    """Use it until all certificates have been replaced, and for so long; meanwhile its authority is replaced.

    An etcd of three members starts anew one by one, under load; one of a single member before there is any.
    """
    async with node.mesh() as user, node.mesh("operator") as operator:
        traffic = Traffic(user, operator, pace_s=PACE_S)
        rotate_authority(node.identities, overlap)
        if len(node.etcd) == 1:
            await Tender(node).tend()
        async with traffic.flowing():
            await Tender(node).tend()
            before = shown_by(node)
            await asyncio.sleep(seconds)
            await until_renewed(node, before)
        for site in node.agents:
            await node.site_ready(site, operator)
    return traffic
