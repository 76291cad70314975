"""Versions, labels and the removal of datasets."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh_kernel.refusals import FailedPrecondition, NotFound, PermissionDenied

ONE, TWO, THREE = "1" * 64, "2" * 64, "3" * 64


async def shown(movers: Any, name: str, by: Any = None) -> Dataset:
    found = await (by or movers.user).transport.GetDataset(pb.GetDatasetRequest(name=name))
    assert isinstance(found, Dataset)
    return found


async def versions(movers: Any, name: str = "datasets/d", size: int = 1) -> list[tuple[int, str]]:
    """All of them, page by page."""
    found: list[Dataset] = []
    token = ""
    while True:
        request = pb.ListDatasetVersionsRequest(name=name, page_size=size, page_token=token)
        answer = await movers.user.transport.ListDatasetVersions(request)
        found += answer.datasets
        token = answer.next_page_token
        if not token:
            return [(each.version, each.digest) for each in found]


async def removed(movers: Any, name: str, by: Any = None) -> int:
    answer = await (by or movers.user).transport.RemoveDataset(pb.RemoveDatasetRequest(name=name))
    return int(answer.versions)


async def test_other_content_under_a_name_is_its_next_version(opened: Any) -> None:
    """Who names a version reads the same for ever; who names none reads what was brought last."""
    async with opened() as movers:
        for digest in (ONE, ONE, TWO, TWO, ONE):
            await movers.publish("d", digest=digest)
        assert await versions(movers) == [(3, ONE), (2, TWO), (1, ONE)]
        assert [(await shown(movers, name)).digest for name in ("datasets/d", "datasets/d@2", "datasets/d@1")] == [
            ONE, TWO, ONE,
        ]  # fmt: skip
        assert (await shown(movers, "datasets/d@2")).name == "datasets/d"
        listed = await movers.user.transport.ListDatasets(pb.ListDatasetsRequest())
        assert [(each.name, each.version) for each in listed.datasets] == [("datasets/d", 3)]
        for unknown in ("datasets/d@4", "datasets/none"):
            with pytest.raises(NotFound, match="DATASET_UNKNOWN"):
                await shown(movers, unknown)
        with pytest.raises(NotFound, match="DATASET_UNKNOWN"):
            await movers.stranger.transport.ListDatasetVersions(pb.ListDatasetVersionsRequest(name="datasets/d"))


async def test_a_transfer_moves_the_version_that_was_asked_for(opened: Any) -> None:
    """A newer version that is published meanwhile must not be said to have arrived."""
    async with opened() as movers:
        await movers.publish("d", digest=ONE)
        made = (await movers.transfer(transfer_id="t", dataset="datasets/d")).transfer
        await movers.publish("d", digest=TWO)
        assert (made.dataset, made.digest) == ("datasets/d@1", ONE)
        await movers.report("b", made.name, Transfer.STATE_DONE, receipt={"digest": ONE})
        assert [each.site for each in (await shown(movers, "datasets/d@1")).replicas] == ["sites/a", "sites/b"]
        assert [each.site for each in (await shown(movers, "datasets/d")).replicas] == ["sites/a"]


async def test_no_number_of_a_version_is_given_twice(opened: Any) -> None:
    """What a job has recorded that it read must never come to mean other content."""
    async with opened() as movers:
        for digest in (ONE, TWO, THREE):
            await movers.publish("d", digest=digest)
        assert await removed(movers, "datasets/d@3") == 1
        assert await versions(movers) == [(2, TWO), (1, ONE)]
        await movers.publish("d", digest=THREE)
        assert await removed(movers, "datasets/d@2") == 1
        assert await versions(movers) == [(4, THREE), (1, ONE)]
        assert await removed(movers, "datasets/d") == 2
        with pytest.raises(NotFound, match="DATASET_UNKNOWN"):
            await removed(movers, "datasets/d")
        await movers.publish("d", digest=ONE)
        assert await versions(movers) == [(5, ONE)]


async def test_what_a_job_needs_is_not_removed(opened: Any) -> None:
    """A job that waits for its place, or runs, would find nothing to read."""
    async with opened() as movers:
        await movers.publish("d", digest=ONE)
        await movers.publish("d", digest=TWO)
        movers.jobs.waiting = {"late": "datasets/d@1", "other": "datasets/d@10"}
        for name in ("datasets/d@1", "datasets/d"):
            with pytest.raises(FailedPrecondition, match="DATASET_IN_USE") as told:
                await removed(movers, name)
            assert "jobs/late" in told.value.facts["jobs"]
        movers.jobs.waiting = {}
        assert await removed(movers, "datasets/d@1") == 1
        await movers.publish("j-result", digest=THREE)
        await movers.place("p", Placement.STATE_RUNNING, reads=("datasets/d@2",))
        reads = pb.GetDatasetRequest(name="datasets/d@2")
        await movers.until_seen(lambda: movers.agent("b").transport.GetDataset(reads))
        movers.jobs.waiting = {"j": ""}
        with pytest.raises(FailedPrecondition, match="DATASET_IN_USE"):
            await removed(movers, "datasets/j-result")
        movers.jobs.waiting = {}
        assert await removed(movers, "datasets/j-result") == 1


async def test_only_the_owner_removes_and_labels(opened: Any) -> None:
    """Names are guessed easily; what is another's must look as if it were not there."""
    async with opened() as movers:
        await movers.publish("d")
        with pytest.raises(NotFound, match="DATASET_UNKNOWN"):
            await removed(movers, "datasets/d", movers.stranger)
        with pytest.raises(NotFound, match="DATASET_UNKNOWN"):
            await movers.stranger.transport.SetDatasetLabels(pb.SetDatasetLabelsRequest(name="datasets/d"))
        assert await removed(movers, "datasets/d", movers.operator) == 1


async def test_a_copy_that_is_under_way_ends_with_its_dataset(opened: Any) -> None:
    """A site would fetch what nobody can name any more."""
    async with opened() as movers:
        await movers.publish("d")
        made = (await movers.transfer(dataset="datasets/d", by=movers.user)).transfer
        await movers.until_seen_transfer(made.name)
        await removed(movers, "datasets/d")
        ended = await movers.user.transport.GetTransfer(pb.GetTransferRequest(name=made.name))
        assert ended.state == Transfer.STATE_CANCELLED


async def test_datasets_are_found_by_their_labels(opened: Any) -> None:
    """Of a thousand datasets one looks for those of a project."""
    async with opened() as movers:
        for name in ("a", "b"):
            await movers.publish(name)
        labels = {"team": "vision", "stage": "trial"}
        found = await movers.user.transport.SetDatasetLabels(
            pb.SetDatasetLabelsRequest(name="datasets/b", labels=labels)
        )
        assert dict(found.labels) == labels
        for wanted, names in (({"team": "vision"}, ["datasets/b"]), ({"team": "audio"}, [])):
            listed = await movers.user.transport.ListDatasets(pb.ListDatasetsRequest(labels=wanted))
            assert [each.name for each in listed.datasets] == names
        await movers.publish("b", digest=TWO)
        assert dict((await shown(movers, "datasets/b")).labels) == labels


async def test_a_site_is_told_what_nobody_names_there(opened: Any) -> None:
    """What it removes for that must be needed by nobody, and nothing may be read off the answers of others."""
    async with opened() as movers:
        await movers.publish("d", digest=ONE)
        await movers.publish("d", digest=TWO)

        async def unnamed(site: str = "a", by: str = "a") -> list[str]:
            request = pb.FindUnnamedContentRequest(site=f"sites/{site}", digests=[ONE, TWO, THREE])
            return list((await movers.agent(by).transport.FindUnnamedContent(request)).digests)

        assert await unnamed() == [THREE]
        assert await unnamed("b", "b") == [ONE, TWO, THREE]
        await movers.transfer(dataset="datasets/d@1", transfer_id="t")
        await movers.until_seen_transfer("transfers/t")
        assert await unnamed("b", "b") == [TWO, THREE]
        await movers.user.transport.CancelTransfer(pb.CancelTransferRequest(name="transfers/t"))
        await removed(movers, "datasets/d@1")
        assert await unnamed() == [ONE, THREE]
        with pytest.raises(PermissionDenied, match="NOT_OWNER"):
            await unnamed("a", "b")
