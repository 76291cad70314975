"""Reading one file of a dataset through the transport: every byte is checked on its way."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.transport.v1 import dataset_pb2
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh_chassis.identity import service_id
from suanmesh_chassis.testing import NODE
from suanmesh_content import manifest_from
from suanmesh_kernel.refusals import Refusal


async def read(mesh: Any, path: str) -> bytes:
    request = pb.ReadFileRequest(dataset="datasets/digits", path=path.encode())
    return b"".join([piece.content async for piece in mesh.transport.ReadFile(request)])


async def test_a_user_reads_a_file_from_the_site_that_has_it(opened: Any) -> None:
    """Results are no use where they cannot be fetched."""
    async with opened() as movers:
        await movers.publish()
        folder = movers.agent_a.folder
        for path in ("deep/images.bin", "facts.json", "nothing"):
            assert await read(movers.user, path) == (folder / path).read_bytes()
        tickets = movers.agent_a.asked
        assert {(t.transfer, t.reader) for t in tickets} == {("", service_id(NODE, "transport"))}


async def test_without_a_path_the_manifest_is_read(opened: Any) -> None:
    """Whoever fetches a dataset file by file begins with what there is."""
    async with opened() as movers:
        dataset = await movers.publish()
        message = dataset_pb2.Manifest.FromString(await read(movers.user, ""))
        assert manifest_from(message).digest == dataset.digest


async def test_a_file_that_is_not_there_is_named(opened: Any) -> None:
    """A typing error must not look like a broken site."""
    async with opened() as movers:
        await movers.publish()
        with pytest.raises(Refusal) as caught:
            await read(movers.user, "facts.jsn")
        assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "FILE_UNKNOWN")
        with pytest.raises(Refusal, match="DATASET_UNKNOWN"):
            await read(movers.stranger, "facts.json")


@pytest.mark.parametrize("damage", ["manifest", "chunk", "file", "short"])
async def test_damage_is_found_wherever_it_happens(opened: Any, damage: str) -> None:
    """A user must never take damaged results for their own."""
    async with opened() as movers:
        await movers.publish()
        movers.agent_a.damage = damage
        with pytest.raises(Refusal) as caught:
            await read(movers.user, "deep/images.bin")
        assert (caught.value.code, caught.value.reason) == ("DATA_LOSS", "DIGEST_MISMATCH")
