"""The trust bundle: the own node is always in it, others as the operator says, and nothing that is not so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.type.v1 import trust_pb2
from suanmesh_chassis import Signer
from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.identity import service_id
from suanmesh_chassis.signing import new_signing_key, window_to
from suanmesh_chassis.testing import lasting_key
from suanmesh_chassis.trust import Trust
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import Aborted, InvalidArgument
from suanmesh_sdk.values import timestamp
from suanmesh_store import MemoryKeyspace, MemoryStore
from suanmesh_store.layout import signing_key
from tests.service.registry.test_registry_service import Desk, a_desk


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = HandClock()
    async with a_desk(clock, MemoryKeyspace(clock)) as opened:
        yield opened


def an_entry(desk: Desk, node: str = "there", key_of: str = "") -> trust_pb2.NodeTrust:
    ca, now = NodeCa.create(node, desk.clock), desk.clock.now()
    signer = Signer(new_signing_key(), service_id(key_of or node, "scheduler"))
    entry = trust_pb2.NodeTrust(name=f"nodes/{node}", signing_keys=[window_to(lasting_key(signer))])
    entry.authorities.add(
        certificate_der=ca.certificate.public_bytes(Encoding.DER),
        valid_from=timestamp(now),
        valid_until=timestamp(now + timedelta(days=30)),
    )
    return entry


async def bundle(desk: Desk) -> trust_pb2.TrustBundle:
    return await desk.service.GetTrustBundle(pb.GetTrustBundleRequest(), desk.call())


async def told(desk: Desk, entry: trust_pb2.NodeTrust) -> trust_pb2.NodeTrust:
    return await desk.service.SetNodeTrust(pb.SetNodeTrustRequest(trust=entry), desk.call())


async def test_the_own_node_is_always_in_it(desk: Desk) -> None:
    """What another node takes in must be whole: the authority, and the keys that services sign with."""
    signer = Signer(new_signing_key(), service_id("demo", "scheduler"))
    store = MemoryStore("scheduler", keys=desk.keys, clock=desk.clock)
    place = signing_key("scheduler", signer.key_id.rpartition("#")[2])
    await store.put_token(place, window_to(lasting_key(signer)).SerializeToString(), 0, must_not_exist=False)
    (own,) = (await bundle(desk)).nodes
    ca = x509.load_der_x509_certificate(own.authorities[0].certificate_der)
    assert own.name == "nodes/demo"
    assert own.authorities[0].valid_until == timestamp(ca.not_valid_after_utc)
    assert list(own.signing_keys) == [window_to(lasting_key(signer))]
    there = NodeCa.create("there", desk.clock)
    assert Trust("there", there.pem, [own]).key(signer.key_id) == lasting_key(signer)


async def test_other_nodes_come_and_go_as_the_operator_says(desk: Desk) -> None:
    """A second operator's change must not undo the first's unseen, and what is no longer believed must be gone."""
    entry = an_entry(desk)
    first = await told(desk, entry)
    assert (await told(desk, entry)) == first
    assert [node.name for node in (await bundle(desk)).nodes] == ["nodes/demo", "nodes/there"]
    second = an_entry(desk)
    second.etag = first.etag
    await told(desk, second)
    with pytest.raises(Aborted, match="ETAG_STALE"):
        await told(desk, first)
    await told(desk, trust_pb2.NodeTrust(name="nodes/there"))
    assert [node.name for node in (await bundle(desk)).nodes] == ["nodes/demo"]


async def test_what_is_not_so_is_refused_by_field(desk: Desk) -> None:
    """An entry that is wrong would be found out where a peer is turned away, days later."""
    foreign, no_authority, own = an_entry(desk, key_of="elsewhere"), an_entry(desk), an_entry(desk, "demo")
    no_authority.authorities[0].certificate_der = b"none"
    timeless = an_entry(desk)
    timeless.signing_keys[0].ClearField("valid_until")
    malformed = an_entry(desk)
    malformed.name = "nodes/No"
    for entry, field in [
        (foreign, "trust.signing_keys[0]"),
        (no_authority, "trust.authorities[0]"),
        (own, "trust.name"),
        (timeless, "trust.signing_keys[0]"),
        (malformed, "trust.name"),
    ]:
        with pytest.raises(InvalidArgument) as caught:
            await told(desk, entry)
        assert caught.value.facts["field"] == field
