"""Where data may be brought, and read: a site, and a ticket for the one who asks."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh.transport.v1.transfer_pb2 import TransferTicket, UploadTicket
from suanmesh_chassis.testing import USER
from suanmesh_kernel.refusals import Refusal

ROOM = 8
"""Datasets that the party of these tests may have, as the fixture sets it."""


async def upload(movers: Any, dataset_id: str = "digits", **more: Any) -> pb.OpenUploadResponse:
    manifest = movers.agent_a.manifest
    fields = {"digest": manifest.digest, "bytes": manifest.size_bytes, "files": len(manifest.files)}
    dataset = Dataset(**(fields | more.pop("dataset", {})))
    by = more.pop("by", movers.user)
    answer = await by.transport.OpenUpload(pb.OpenUploadRequest(dataset_id=dataset_id, dataset=dataset, **more))
    assert isinstance(answer, pb.OpenUploadResponse)
    return answer


async def reason(call: Any) -> str:
    with pytest.raises(Refusal) as caught:
        await call
    return caught.value.reason


async def test_a_site_publishes_what_was_brought_with_its_ticket_alone(opened: Any) -> None:
    """Whoever brings data has agreed that the site names it so; nobody else has."""
    async with opened() as movers:
        await movers.site("far", party="parties/rival", data_endpoint="far:1")
        assert await reason(movers.publish(site="far")) == "NOT_OWNER"
        opened_upload = await upload(movers, site="sites/far")
        claim = UploadTicket.FromString(opened_upload.ticket.payload)
        assert (claim.party, claim.target, claim.writer) == ("parties/acme", "sites/far", USER)
        for wrong in ({"dataset_id": "other"}, {"digest": "0" * 64}, {"party": "parties/rival"}, {"site": "b"}):
            assert (
                await reason(movers.publish(**({"site": "far", "upload": opened_upload.ticket} | wrong))) == "NOT_OWNER"
            )
        assert (await movers.publish(site="far", upload=opened_upload.ticket)).name == "datasets/digits"
        again = await upload(movers, site="sites/far")
        assert not again.HasField("ticket")


async def test_a_site_is_chosen_that_can_take_it(opened: Any) -> None:
    """Who names no site is brought to one of the own party that is heard of, and to another where that has no room."""
    async with opened() as movers:
        await movers.site("any", party="parties/rival", data_endpoint="any:1")
        assert (await upload(movers)).site == "sites/a"
        assert (await upload(movers, but=["sites/a"])).site == "sites/any"
        assert (await upload(movers, by=movers.stranger)).site == "sites/any"
        assert await reason(upload(movers, site="sites/b")) == "SITE_NOT_REACHABLE"
        assert await reason(upload(movers, dataset={"residency": ["eu"]})) == "RESIDENCY_DENIED"


async def test_near_is_what_the_network_says_is_near(opened: Any) -> None:
    """Two sites of one city may be joined by way of another province."""
    async with opened() as movers:
        await movers.publish("lying", party="parties/acme")
        for name in ("near", "nearer"):
            await movers.site(name, party="parties/rival", data_endpoint=f"{name}:1")
        movers.network.latencies_us = {("sites/a", "sites/near"): 9_000, ("sites/a", "sites/nearer"): 2_000}
        told = await upload(movers, but=["sites/a"])
        assert (told.site, told.choice, told.latency_us) == ("sites/nearer", pb.UPLOAD_CHOICE_NEAREST, 2_000)


async def test_data_goes_to_the_default_site_of_its_party(opened: Any) -> None:
    """The one whom nobody has told where the party's disks are would bring it elsewhere."""
    async with opened() as movers:
        await movers.site("far", party="parties/rival", data_endpoint="far:1")
        await movers.default_site("acme", "sites/far")
        told = await upload(movers)
        assert (told.site, told.choice) == ("sites/far", pb.UPLOAD_CHOICE_DEFAULT)
        assert (await upload(movers, but=["sites/far"])).site == "sites/a"


async def test_a_party_brings_no_more_than_it_may_have(opened: Any) -> None:
    """One user's disk image must not take the disks of all sites."""
    async with opened() as movers:
        assert await reason(upload(movers, dataset={"bytes": 1 << 59})) == "DATA_TOO_MUCH"
        for number in range(ROOM):
            await movers.publish(f"d{number}")
        assert await reason(upload(movers, "one-more")) == "DATASETS_TOO_MANY"
        assert await reason(upload(movers, "d0", dataset={"digest": "0" * 64})) == "DATASETS_TOO_MANY"
        assert await reason(upload(movers, "d0", dataset={"digest": "0" * 64}, by=movers.stranger)) == "NOT_OWNER"


async def test_what_the_party_has_at_the_site_need_not_come_again(opened: Any) -> None:
    """Only the own party's: whoever knows a digest must not be given the content for it."""
    async with opened() as movers:
        await movers.publish("mine")
        digest = movers.agent_a.manifest.digest
        mine = await upload(movers, "next", dataset={"digest": "1" * 64}, site="sites/a")
        theirs = await upload(movers, "next", dataset={"digest": "1" * 64}, site="sites/a", by=movers.stranger)
        assert list(UploadTicket.FromString(mine.ticket.payload).known) == [digest]
        assert list(UploadTicket.FromString(theirs.ticket.payload).known) == []


async def test_a_dataset_is_opened_for_its_owner_alone(opened: Any) -> None:
    """A ticket opens a site's disk for the one it is made out for."""
    async with opened() as movers:
        await movers.publish()
        found = await movers.user.transport.OpenDataset(pb.OpenDatasetRequest(name="datasets/digits"))
        ticket = TransferTicket.FromString(found.ticket.payload)
        assert (found.site, ticket.reader, ticket.source) == ("sites/a", USER, "sites/a")
        stranger = movers.stranger.transport.OpenDataset(pb.OpenDatasetRequest(name="datasets/digits"))
        assert await reason(stranger) == "DATASET_UNKNOWN"
