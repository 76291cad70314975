"""Join tokens over the real wrapper: a repeat gets the same one, and nobody but who asked ever has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from suanmesh.registry.v1 import party_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh_chassis import Common, ServiceContext
from suanmesh_chassis.identity import user_id
from suanmesh_chassis.testing import NODE, OPERATOR, LoopbackNode, parts_of_leader
from suanmesh_kernel.clock import SystemClock, seeded_rng
from suanmesh_kernel.refusals import Refusal
from suanmesh_registry.main import build
from suanmesh_registry.settings import RegistrySettings
from suanmesh_sdk import Mesh
from suanmesh_store import MemoryKeyspace, MemoryStore

OTHER_OPERATOR = user_id(NODE, "operator", "o2")


@asynccontextmanager
async def a_registry(node: LoopbackNode, folder: Path, keys: MemoryKeyspace) -> AsyncIterator[str]:
    """A registry over what is in `keys`; its address."""
    node.ca.save(folder / "ca")
    process = node.process("registry")
    context = ServiceContext(
        area="registry", node=NODE, settings=RegistrySettings(ca_dir=folder / "ca"), common=Common(), clock=node.clock,
        rng=seeded_rng(2), store=MemoryStore("registry", keys=keys, clock=node.clock, rng=seeded_rng(1)),
        mesh=node.mesh("127.0.0.1:1", caller=process.identity), signer=process.signer, identity=process.identity,
        leadership=None, data_dir=folder,
    )  # fmt: skip
    parts = await parts_of_leader(build, context)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(awaited(run())) for run in parts.tasks]
        yield await node.serve(process, parts.servicers, requests=parts.requests)
        for task in running:
            task.cancel()


async def awaited(task: Awaitable[None]) -> None:
    await task


async def asked(mesh: Mesh, **fields: object) -> pb.JoinToken:
    request = pb.CreateJoinTokenRequest(**{"party": "parties/p", "request_id": "once"} | fields)  # type: ignore[arg-type]
    return await mesh.registry.CreateJoinToken(request)


def told(token: pb.JoinToken) -> tuple[str, object]:
    """What every answer to the same request says; the bearer's certificate is another each time."""
    return token.token, token.expire_time


async def test_a_token_is_given_again_and_never_kept(tmp_path: Path) -> None:
    """An operator whose answer was lost must get it, and whoever reads etcd must not be able to join with it."""
    keys = MemoryKeyspace(SystemClock())
    async with LoopbackNode(tmp_path) as node:
        async with a_registry(node, tmp_path, keys) as address:
            operator = node.mesh(address, caller=OPERATOR)
            party = party_pb2.Party(kind=party_pb2.Party.KIND_COMPUTE_PROVIDER, currency="CNY")
            await operator.registry.CreateParty(pb.CreatePartyRequest(party_id="p", party=party))
            first, second = await asyncio.gather(asked(operator), asked(operator))
            assert told(first) == told(second) == told(await asked(operator))
            with pytest.raises(Refusal, match="REQUEST_ID_REUSED"):
                await asked(operator, ttl_s=7)
            others = [await asked(operator, request_id="twice"), await asked(node.mesh(address, caller=OTHER_OPERATOR))]
        async with a_registry(node, tmp_path, keys) as address:
            assert told(await asked(node.mesh(address, caller=OPERATOR))) == told(first)
    tokens = [token.token.split(".") for token in (first, *others)]
    assert len({token[1] for token in tokens}) == len({token[2] for token in tokens}) == 3
    listing = await keys.scan("/")
    assert listing.entries
    assert not [entry.key for entry in listing.entries if any(token[2].encode() in entry.value for token in tokens)]
