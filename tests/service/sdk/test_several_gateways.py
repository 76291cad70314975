"""A node with several gateways: callers who were told of all of them do not notice that one is away."""

from __future__ import annotations

from typing import Any

from suanmesh.registry.v1.registry_service_pb2 import CreatePartyRequest, GetSiteRequest
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh_kernel.refusals import Unavailable
from suanmesh_local.ports import free_ports
from suanmesh_sdk import connect

SITE = GetSiteRequest(name="sites/a")


async def found(request: bytes, context: Any) -> bytes:
    return Site(name=GetSiteRequest.FromString(request).name).SerializeToString()


async def test_the_next_gateway_is_used_while_one_is_away(serve: Any, tls: Any) -> None:
    """A user at work must not hear that a machine of the node was switched off."""
    oracle = await serve()
    oracle.answer = found
    away = f"localhost:{free_ports(1)[0]}"
    async with connect(f"{away},{oracle.address}", tls=tls, node="demo") as mesh:
        assert [await mesh.registry.GetSite(SITE) for _ in range(3)] == [Site(name="sites/a")] * 3


async def test_all_calls_keep_to_one_gateway_for_as_long_as_it_answers(serve: Any, tls: Any) -> None:
    """Who looks for a trace must not find half of it at the other gateway."""
    first, second = await serve(), await serve()
    for oracle in (first, second):
        oracle.answer = found
    async with connect(f"{first.address},{second.address}", tls=tls, node="demo") as mesh:
        for _ in range(4):
            await mesh.registry.GetSite(SITE)
        assert (len(first.asked), len(second.asked)) == (4, 0)


async def test_a_gateway_that_drains_is_left_and_a_write_is_done_once(serve: Any, tls: Any) -> None:
    """An operator restarts one gateway after the other while people work."""
    first, second = await serve(), await serve()
    first.answers["CreateParty"] = Unavailable("NOT_READY", "this instance is draining")
    second.answer = found
    async with connect(f"{first.address},{second.address}", tls=tls, node="demo") as mesh:
        await mesh.registry.CreateParty(CreatePartyRequest(party_id="acme"))
        await mesh.registry.GetSite(SITE)
    (asked,), (again, _) = first.asked, second.asked
    assert asked == again  # with the same request id
