"""Who may say that data is there, and who may know of it."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.status import refusal_of

ROOM = 8
"""Datasets that the party of these tests may have, as the fixture sets it."""
GET = pb.GetDatasetRequest(name="datasets/digits")


async def refused(call: Any) -> tuple[str, str]:
    with pytest.raises(Refusal) as caught:
        await call
    return caught.value.code, caught.value.reason


async def test_a_site_publishes_for_its_own_party_and_for_those_that_name_it(opened: Any) -> None:
    """Anybody with a site could else put data, and names that others need, under a stranger's party."""
    async with opened() as movers:
        await movers.site("far", party="parties/rival")
        assert await refused(movers.publish(site="far")) == ("PERMISSION_DENIED", "NOT_OWNER")
        await movers.publish(site="far", party="parties/rival", dataset_id="own")
        await movers.publishers("acme", "sites/far")
        await movers.publish(site="far")
        await movers.publishers("acme")
        await movers.publish(site="far")  # again: what it holds already
        assert await refused(movers.publish("more", site="far")) == ("PERMISSION_DENIED", "NOT_OWNER")


async def test_consent_withdrawn_while_a_dataset_is_kept_counts(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner who was told that a site may publish no more would find a dataset of it after all."""
    async with opened() as movers:
        await movers.site("far", party="parties/rival")
        await movers.publishers("acme", "sites/far")
        commit = movers.store.commit

        async def late(*changes: Any, **more: Any) -> Any:
            await movers.publishers("acme")
            return await commit(*changes, **more)

        monkeypatch.setattr(movers.store, "commit", late)
        assert await refused(movers.publish(site="far")) == ("ABORTED", "CONFLICT")
        monkeypatch.undo()
        assert await refused(movers.publish(site="far")) == ("PERMISSION_DENIED", "NOT_OWNER")


async def test_a_site_cannot_claim_a_replica_it_was_never_given(opened: Any) -> None:
    """Jobs would be sent to where their data is not, and every reader with them."""
    async with opened() as movers:
        await movers.publish()
        await movers.site("far", party="parties/rival")
        assert await refused(movers.publish(site="far")) == ("PERMISSION_DENIED", "NOT_OWNER")
        await movers.place("p1", Placement.STATE_DELIVERING, site="far")
        claim = movers.publish(site="far", placement="placements/p1")
        assert await refused(claim) == ("PERMISSION_DENIED", "NOT_OWNER")
        await movers.publish("j-result", site="far", placement="placements/p1")


async def test_nothing_is_published_where_it_must_not_lie(opened: Any) -> None:
    """An owner that is bound to a jurisdiction is bound however the data came there."""
    async with opened() as movers:
        await movers.site("abroad", residency=["xx"])
        denied = ("FAILED_PRECONDITION", "RESIDENCY_DENIED")
        assert await refused(movers.publish(site="abroad", residency=["cn"])) == denied
        await movers.publish(residency=["cn"])
        assert await refused(movers.publish(site="abroad")) == denied


async def test_an_agent_knows_of_the_data_that_concerns_its_site(opened: Any) -> None:
    """A provider must not read off what every tenant of the node has, and where it goes."""
    async with opened() as movers:
        await movers.publish()
        await movers.site("c")
        made = (await movers.transfer("b", transfer_id="t")).transfer
        get = pb.GetTransferRequest(name=made.name)
        for site in ("a", "b"):
            assert (await movers.agent(site).transport.GetDataset(GET)).name == "datasets/digits"
            assert (await movers.agent(site).transport.GetTransfer(get)).name == made.name
        stranger = movers.agent("c").transport
        assert await refused(stranger.GetDataset(GET)) == ("NOT_FOUND", "DATASET_UNKNOWN")
        assert await refused(stranger.GetTransfer(get)) == ("NOT_FOUND", "TRANSFER_UNKNOWN")


async def test_an_agent_knows_of_what_its_placements_read_and_make(opened: Any) -> None:
    """A site that could not look up its job's input would wait for it for ever."""
    async with opened() as movers:
        await movers.publish()
        await movers.publish("j-result")
        await movers.site("c")
        await movers.place("p1", Placement.STATE_STAGING, site="c", reads=("datasets/digits@1",))
        made = (await movers.transfer("b", transfer_id="t", placement="placements/p1")).transfer
        site = movers.agent("c").transport
        await movers.until_seen(lambda: site.GetDataset(GET))
        assert (await site.GetDataset(pb.GetDatasetRequest(name="datasets/j-result"))).digest
        assert (await site.GetTransfer(pb.GetTransferRequest(name=made.name))).name == made.name


async def test_datasets_published_together_stand_or_fall_each_by_itself(opened: Any) -> None:
    """One task of a site that left what cannot be published would take the results of all others with it."""
    async with opened() as movers:
        await movers.place("p1", Placement.STATE_DELIVERING, site="a")
        digest = movers.agent_a.manifest.digest

        def ask(name: str, *, digest: str = digest, party: str = "parties/acme", placement: str = "") -> pb.DatasetAsk:
            given = Dataset(party=party, digest=digest, bytes=1, files=1)
            return pb.DatasetAsk(dataset_id=name, dataset=given, placement=placement)

        items = [
            ask("j-result", placement="placements/p1"),
            ask("more-0"),
            ask("more-0"),
            ask("j-result", digest="0" * 64, placement="placements/p1"),
            ask("strange", party="parties/nobody"),
            ask("strange", placement="placements/p1"),
            ask("not a name"),
            *(ask(f"more-{number}") for number in range(ROOM + 1)),
        ]
        request = pb.CreateDatasetsRequest(items=items)
        for _ in range(2):
            results = (await movers.agent("a").transport.CreateDatasets(request)).results
            assert [refusal_of(each.error).reason if each.HasField("error") else "" for each in results] == [
                "", "", "", "DATASET_EXISTS", "FIELD_INVALID", "NOT_OWNER", "FIELD_INVALID",
                *[""] * ROOM, "DATASETS_TOO_MANY",
            ]  # fmt: skip


async def test_what_is_published_again_is_answered_also_when_its_placement_is_gone(opened: Any) -> None:
    """An agent whose answer was lost would ask for ever, and never deliver."""
    async with opened() as movers:
        await movers.place("p1", Placement.STATE_DELIVERING, site="a")
        first = await movers.publish("j-result", placement="placements/p1")
        await movers.gone("p1")
        again = await movers.publish("j-result", placement="placements/p1")
        assert again == first
        assert await refused(movers.publish("j-log", placement="placements/p1")) == ("PERMISSION_DENIED", "NOT_OWNER")
