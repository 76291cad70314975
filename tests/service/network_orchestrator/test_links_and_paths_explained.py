"""What a network operator asks: of one link, why a path is the one, of one reservation; and links that are removed."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.network_orchestrator.v1 import network_orchestrator_service_pb2 as pb
from suanmesh.network_orchestrator.v1.reservation_pb2 import Reservation
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh_chassis.identity import user_id
from suanmesh_chassis.testing import NODE
from suanmesh_kernel.refusals import Refusal
from suanmesh_store import attachment_of
from suanmesh_store.layout import BOOKINGS


async def test_a_link_that_carries_something_is_not_removed(opened: Any, link: Any) -> None:
    """A transfer would go on over a link that is not there, and nobody would be paid for it."""
    async with opened() as net:
        [declared, _] = await net.declare(link("ab", "a", "b", 1000), link("ba", "b", "a", 500))
        operator = net.operator.network_orchestrator
        lease = await net.store.open_lease(10)
        held = (await net.reserve("p1", 700, attachment_of(lease))).hold
        with pytest.raises(Refusal, match="LINK_IN_USE") as refused:
            await operator.RemoveLink(pb.RemoveLinkRequest(name="links/ab"))
        assert refused.value.facts == {"name": "links/ab", "reserved_bps": "700"}
        await net.commit_placement("p1", held)
        await net.until_reservation("p1", Reservation.STATE_COMMITTED)
        await net.move_placement("p1", Placement.STATE_DONE)
        await net.until(BOOKINGS, "links/ab", lambda booking: booking is None or not booking.reserved_bps)
        with pytest.raises(Refusal, match="CONFLICT"):
            await operator.RemoveLink(pb.RemoveLinkRequest(name="links/ab", etag="old"))
        await operator.RemoveLink(pb.RemoveLinkRequest(name="links/ab", etag=declared.etag))
        await operator.RemoveLink(pb.RemoveLinkRequest(name="links/ab"))
        listed = await net.user.network_orchestrator.ListLinks(pb.ListLinksRequest())
        assert [each.name for each in listed.links] == ["links/ba"]
        with pytest.raises(Refusal, match="LINK_UNKNOWN"):
            await net.user.network_orchestrator.GetLink(pb.GetLinkRequest(name="links/ab"))
        with pytest.raises(Refusal, match="ROLE_DENIED"):
            await net.user.network_orchestrator.RemoveLink(pb.RemoveLinkRequest(name="links/ba"))


async def test_a_path_is_explained_beside_what_else_there_is(opened: Any, link: Any) -> None:
    """Who pays for a slow path must see that the fast one costs more, or was full, and which link it is."""
    async with opened() as net:
        fast, wide = link("fast", "a", "b", 100, 5), link("wide", "a", "b", 900, 50)
        fast.price.meter, fast.price.amount_micros, fast.price.per_quantity = 4, 9, 1 << 20
        await net.declare(fast, wide, link("zb", "z", "b", 1, 1))
        user = net.user.network_orchestrator

        async def explain(target: str = "b", **bounds: int) -> pb.PathExplanation:
            query = pb.PathQuery(source="sites/a", target=f"sites/{target}", **bounds)
            return await user.ExplainPath(pb.ExplainPathRequest(query=query))

        told = await explain()
        assert list(told.found.path.links) == list(told.widest.links) == ["links/wide"]
        assert list(told.fastest.links) == ["links/fast"]
        assert [each.name for each in told.links] == ["links/fast", "links/wide"]
        full = await explain(min_bandwidth_bps=1000)
        assert (full.found.obstacle.link, full.widest.available_bps) == ("links/wide", 900)
        nothing = await explain("z")
        assert nothing.found.obstacle.kind == pb.PathObstacle.KIND_DISCONNECTED
        assert [field.name for field, _ in nothing.ListFields()] == ["found", "revision"]
        with pytest.raises(Refusal, match="FIELD_INVALID"):
            await explain(max_latency_us=-1)


async def test_a_reservation_is_its_partys(opened: Any, link: Any) -> None:
    """What a rival moves, how fast and when, is nobody else's business."""
    async with opened() as net:
        await net.declare(link("ab", "a", "b", 1000))
        held = (await net.reserve("p1", 700, attachment_of(await net.store.open_lease(10)))).hold
        await net.commit_placement("p1", held)
        await net.until_reservation("p1", Reservation.STATE_COMMITTED)
        request = pb.GetReservationRequest(name="reservations/p1-0")
        for caller in (net.user, net.operator, net.scheduler):
            assert (await caller.network_orchestrator.GetReservation(request)).rate_bps == 700
        rival = net.node.mesh(net.address, caller=user_id(NODE, "rival", "rob"))
        for mesh, name in ((rival, "reservations/p1-0"), (net.user, "reservations/none")):
            with pytest.raises(Refusal, match="RESERVATION_UNKNOWN"):
                await mesh.network_orchestrator.GetReservation(pb.GetReservationRequest(name=name))
        with pytest.raises(Refusal, match="FIELD_INVALID"):
            await net.user.network_orchestrator.GetReservation(pb.GetReservationRequest(name="links/ab"))
