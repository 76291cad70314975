"""A site takes another signing key while it works: the registry believes both for a while, and only its own agent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh.registry.v1 import site_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_chassis import Signer
from suanmesh_chassis.signing import new_signing_key
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.key_windows import OVERLAP_S
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument
from suanmesh_store import MemoryKeyspace
from tests.service.registry.test_registry_service import Agent, Desk, a_desk, enrolled

ROTATION = site_pb2.SigningKeyRotation.DESCRIPTOR.full_name


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    clock = HandClock()
    async with a_desk(clock, MemoryKeyspace(clock)) as opened:
        yield opened


def rotation(agent: Agent, signer: Signer, site: str = "sites/a") -> signed_pb2.Signed:
    message = site_pb2.SigningKeyRotation(site=site, public_key=signer.public_key)
    return signer.sign(ROTATION, message.SerializeToString())


async def rotate(desk: Desk, agent: Agent, signed: signed_pb2.Signed) -> site_pb2.Site:
    return await desk.service.RotateSigningKey(pb.RotateSigningKeyRequest(rotation=signed), desk.call(agent.caller))


async def describe(desk: Desk, agent: Agent, generation: int) -> None:
    request = pb.RegisterPoolsRequest(descriptors=[agent.descriptor(generation)])
    await desk.service.RegisterPools(request, desk.call(agent.caller))


async def test_both_keys_are_good_until_the_overlap_ends(desk: Desk) -> None:
    """A descriptor that is on its way while the key changes must arrive; one of a lapsed key must not, and says why."""
    agent = await enrolled(desk)
    old, new = agent.signer, Signer(new_signing_key(), agent.signer.key_id.partition("#")[0])
    site = await rotate(desk, agent, rotation(agent, new))
    assert [bytes(key.public_key) for key in site.signing_keys] == [old.public_key, new.public_key]
    again = await rotate(desk, agent, rotation(agent, new))
    assert (again.etag, again.signing_keys) == (site.etag, site.signing_keys)
    await describe(desk, agent, 1)
    agent.signer = new
    await describe(desk, agent, 2)
    await desk.pass_time(OVERLAP_S + 600)
    await describe(desk, agent, 3)
    agent.signer = old
    with pytest.raises(FailedPrecondition) as caught:
        await describe(desk, agent, 4)
    assert (caught.value.reason, caught.value.facts["key_id"]) == ("DESCRIPTOR_KEY_LAPSED", old.key_id)


async def test_only_its_holder_registers_a_key(desk: Desk) -> None:
    """Whoever could have somebody else's key registered as theirs would be believed for what the other signs."""
    agent, other = await enrolled(desk), Signer(new_signing_key(), "spiffe://demo/site/a/agent")
    foreign = rotation(agent, other)
    foreign.payload = rotation(agent, agent.signer).payload
    for wrong in (foreign, rotation(agent, other, site="sites/b"), signed_pb2.Signed(payload=b"\xff")):
        with pytest.raises(InvalidArgument, match="SIGNING_KEY_INVALID"):
            await rotate(desk, agent, wrong)
