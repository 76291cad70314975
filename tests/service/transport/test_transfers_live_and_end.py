"""Datasets and transfers from the publication to the receipt, over the store and behind the real wrapper."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from google.rpc import code_pb2

from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh.transport.v1.dataset_pb2 import Dataset, Replica
from suanmesh.transport.v1.transfer_pb2 import Progress, Receipt, Transfer, TransferTicket
from suanmesh_chassis import verify
from suanmesh_chassis.identity import agent_id
from suanmesh_chassis.testing import NODE
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_sdk.state_reasons import reason_to
from suanmesh_sdk.status import refusal_of
from suanmesh_store import Create, MemoryStore
from suanmesh_store.layout import DATASETS_BEFORE, TRANSFERS
from suanmesh_store.records import MemoryRecords, Put, SqlRecords, Write
from suanmesh_transport.dataset_records import DATASETS, move_from_etcd

ACTIVE, DONE, FAILED, CANCELLED = (
    Transfer.STATE_ACTIVE,
    Transfer.STATE_DONE,
    Transfer.STATE_FAILED,
    Transfer.STATE_CANCELLED,
)


def replicas(dataset: Any) -> dict[str, int]:
    return {replica.site: replica.state for replica in dataset.replicas}


async def test_a_receipt_with_the_right_digest_adds_the_replica(opened: Any) -> None:
    """The next job finds the data where the last one left it."""
    async with opened() as movers:
        dataset = await movers.publish()
        made = (await movers.transfer(transfer_id="p1-in-0", rate_bps=8000)).transfer
        assert (made.state, made.source, made.rate_bps) == (Transfer.STATE_PENDING, "sites/a", 8000)

        progress = Progress(bytes_done=5, chunks_done=1, chunks=3)
        active = await movers.report("b", made.name, ACTIVE, progress=progress)
        assert active.transfer.progress == progress
        get = pb.GetDatasetRequest(name="datasets/digits")
        await movers.until_replicas({"sites/a": Replica.STATE_COMPLETE, "sites/b": Replica.STATE_PARTIAL})
        receipt = Receipt(digest=dataset.digest, bytes_received=dataset.bytes, elapsed_ms=7)
        done = (await movers.report("b", made.name, DONE, receipt=receipt)).transfer

        assert (done.state, done.receipt, done.HasField("ticket")) == (DONE, receipt, False)
        assert replicas(await movers.user.transport.GetDataset(get))["sites/b"] == Replica.STATE_COMPLETE
        again = (await movers.transfer(transfer_id="p2-in-0")).transfer
        assert (again.state, again.state_reason.code) == (DONE, "REPLICA_PRESENT")


async def test_a_receipt_with_another_digest_makes_no_replica(opened: Any) -> None:
    """Damaged bytes must not be read by the next job as if they were the dataset."""
    async with opened() as movers:
        await movers.publish()
        made = (await movers.transfer()).transfer
        wrong = await movers.report("b", made.name, DONE, receipt=Receipt(digest="00" * 32))
        refusal = refusal_of(wrong.error)
        assert (refusal.code, refusal.reason) == ("DATA_LOSS", "DIGEST_MISMATCH")
        await movers.report("b", made.name, FAILED, reason=reason_to(StateReason("DIGEST_MISMATCH")))
        dataset = await movers.user.transport.GetDataset(pb.GetDatasetRequest(name="datasets/digits"))
        assert replicas(dataset) == {"sites/a": Replica.STATE_COMPLETE}


async def test_the_ticket_says_who_may_read_what_where_and_how_fast(opened: Any) -> None:
    """The source has nothing but the ticket to decide by."""
    async with opened() as movers:
        dataset = await movers.publish()
        made = (await movers.transfer(rate_bps=8000)).transfer
        assert verify(made.ticket, movers.agent_a.public_key)
        ticket = TransferTicket.FromString(made.ticket.payload)
        assert made.ticket.payload_type == "suanmesh.transport.v1.TransferTicket"
        assert (ticket.transfer, ticket.dataset, ticket.digest) == (made.name, "datasets/digits@1", dataset.digest)
        assert (ticket.source, ticket.reader, ticket.rate_bps) == ("sites/a", agent_id(NODE, "b"), 8000)
        assert ticket.expire_time.ToDatetime() > movers.clock.now().replace(tzinfo=None) + timedelta(hours=1)
        key = await movers.agent("b").transport.GetTicketKey(pb.GetTicketKeyRequest())
        assert key.key_id == made.ticket.key_id


async def test_the_same_transfer_asked_for_twice_is_one(opened: Any) -> None:
    """A scheduler that goes on after a crash must not have the data moved, and paid for, twice."""
    async with opened() as movers:
        await movers.publish()
        asks = [pb.TransferAsk(transfer_id="t", dataset="datasets/digits", target="sites/b")] * 2
        request = pb.CreateTransfersRequest(items=asks, request_id="once")
        first = await movers.scheduler.transport.CreateTransfers(request)
        second = await movers.scheduler.transport.CreateTransfers(request)
        third = (await movers.transfer(transfer_id="t")).transfer
        assert first == second
        assert first.results[0] == first.results[1]
        assert third == first.results[0].transfer
        assert len((await movers.store.snapshot(TRANSFERS)).held) == 1


async def test_a_transfer_put_off_for_a_moment_is_made_when_asked_again(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One moment without etcd would refuse data to a job for a day, though its request is repeated."""
    async with opened() as movers:
        await movers.publish()
        asks = [
            pb.TransferAsk(transfer_id=f"t{i}", dataset="datasets/digits", target=target)
            for i, target in enumerate(("sites/nowhere", "sites/b", "sites/b"))
        ]
        request = pb.CreateTransfersRequest(items=asks, request_id="cut")
        with monkeypatch.context() as cut:
            _away_after(cut, 2)
            first = await movers.scheduler.transport.CreateTransfers(request)
        again = await movers.scheduler.transport.CreateTransfers(request)
        codes = [result.error.code for result in first.results]
        assert codes == [code_pb2.INVALID_ARGUMENT, code_pb2.OK, code_pb2.UNAVAILABLE]
        assert again.results[1] == first.results[1]
        assert refusal_of(again.results[0].error).facts == refusal_of(first.results[0].error).facts
        assert again.results[2].transfer.name == "transfers/t2"
        assert await movers.scheduler.transport.CreateTransfers(request) == again
        assert len((await movers.store.snapshot(TRANSFERS)).held) == 2


def _away_after(patch: pytest.MonkeyPatch, reads: int) -> None:
    """Let the records answer that many reads of datasets, and then be away."""
    get_many, left = SqlRecords.get_many, [reads]

    async def answer(records: SqlRecords, kind: Any, names: Any) -> Any:
        if kind is DATASETS:
            left[0] -= 1
            if left[0] < 0:
                raise Unavailable("NOT_READY", "away", domain="mesh.suanmesh")
        return await get_many(records, kind, names)

    patch.setattr(SqlRecords, "get_many", answer)


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        ({"dataset": "datasets/nothing"}, "DATASET_UNKNOWN"),
        ({"dataset": "digits"}, "FIELD_INVALID"),
        ({"source": "sites/b", "target": "sites/c"}, "NO_REPLICA"),
        ({"target": "sites/nowhere"}, "FIELD_INVALID"),
        ({"target": "sites/a", "source": "sites/a"}, "FIELD_INVALID"),
        ({"rate_bps": -1}, "FIELD_INVALID"),
        ({"transfer_id": "No Way"}, "FIELD_INVALID"),
        ({"target": "sites/abroad"}, "RESIDENCY_DENIED"),
        ({"purpose": Transfer.PURPOSE_RESULT}, "FIELD_INVALID"),
        ({"purpose": 9}, "FIELD_INVALID"),
    ],
)
async def test_a_transfer_that_cannot_be_is_refused_by_itself(opened: Any, ask: dict[str, Any], reason: str) -> None:
    """One wrong item must not stop those beside it."""
    async with opened() as movers:
        await movers.publish(residency=["cn"])
        await movers.site("c")
        await movers.site("abroad", residency=["xx"])
        wrong = pb.TransferAsk(**({"dataset": "datasets/digits", "target": "sites/b"} | ask))
        right = pb.TransferAsk(dataset="datasets/digits", target="sites/b")
        answer = await movers.scheduler.transport.CreateTransfers(pb.CreateTransfersRequest(items=[wrong, right]))
        assert refusal_of(answer.results[0].error).reason == reason
        assert answer.results[1].HasField("transfer")


async def test_names_may_say_which_node_they_belong_to(opened: Any) -> None:
    """A name that another node wrote must work here, and one of another node must not mean a thing of ours."""
    async with opened() as movers:
        await movers.publish()
        ask = {"transfer_id": "t", "dataset": f"//{NODE}/datasets/digits", "source": f"//{NODE}/sites/a"}
        made = (await movers.transfer(**ask)).transfer
        assert (made.dataset, made.source) == ("datasets/digits@1", "sites/a")
        assert (await movers.transfer(transfer_id="t")).transfer == made
        found = await movers.user.transport.GetTransfer(pb.GetTransferRequest(name=f"//{NODE}/transfers/t"))
        assert found.name == made.name
        with pytest.raises(Refusal, match="NODE_UNKNOWN") as caught:
            await movers.user.transport.GetTransfer(pb.GetTransferRequest(name="//far/transfers/t"))
        assert (caught.value.code, caught.value.facts) == ("NOT_FOUND", {"node": "far", "field": "name"})


async def test_a_source_without_a_data_plane_is_told_apart(opened: Any) -> None:
    """The user can do something about a closed port, once it is named."""
    async with opened() as movers:
        await movers.publish()
        await movers.site("a", data_endpoint="")
        refusal = refusal_of((await movers.transfer()).error)
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "SITE_NOT_REACHABLE")


async def test_nobody_sees_or_moves_what_is_another_party_s(opened: Any) -> None:
    """Tenants share sites, not data."""
    async with opened() as movers:
        await movers.publish()
        made = (await movers.transfer()).transfer
        rival = movers.stranger.transport
        with pytest.raises(Refusal, match="DATASET_UNKNOWN"):
            await rival.GetDataset(pb.GetDatasetRequest(name="datasets/digits"))
        with pytest.raises(Refusal, match="TRANSFER_UNKNOWN"):
            await rival.CancelTransfer(pb.CancelTransferRequest(name=made.name))
        assert not (await rival.ListDatasets(pb.ListDatasetsRequest())).datasets
        assert not (await rival.ListTransfers(pb.ListTransfersRequest())).transfers
        assert refusal_of((await movers.transfer(by=movers.stranger)).error).reason == "DATASET_UNKNOWN"
        assert (await movers.report("a", made.name, FAILED)).error.message
        own = await movers.user.transport.ListTransfers(pb.ListTransfersRequest())
        assert [(t.name, t.HasField("ticket")) for t in own.transfers] == [(made.name, False)]
        seen = await movers.operator.transport.ListDatasets(pb.ListDatasetsRequest())
        assert [d.name for d in seen.datasets] == ["datasets/digits"]


async def test_a_name_stands_for_one_content(opened: Any) -> None:
    """A job that names a dataset must read what its owner meant."""
    async with opened() as movers:
        first = await movers.publish()
        assert replicas(await movers.publish(site="b")).keys() == {"sites/a", "sites/b"}
        with pytest.raises(Refusal, match="DATASET_EXISTS"):
            await movers.publish(party="parties/rival")
        with pytest.raises(Refusal, match="FIELD_INVALID"):
            await movers.publish("other", party="parties/nobody")
        with pytest.raises(Refusal, match="NOT_OWNER"):
            await movers.publish("other", placement="placements/unknown")
        await movers.place("p1", Placement.STATE_DELIVERING, site="a")
        for made in ("j-result", "j-result--1", "j-log"):
            assert (await movers.publish(made, placement="placements/p1")).digest == first.digest


async def test_an_agent_sees_its_transfers_first_all_then_each_change(opened: Any) -> None:
    """A site that was away must find out what waits for it, and hear of a cancellation at once."""
    async with opened() as movers:
        await movers.publish()
        await movers.site("c")
        waiting = (await movers.transfer(transfer_id="t1")).transfer
        await movers.transfer("c", transfer_id="elsewhere")
        async with asyncio.timeout(60):
            watch = movers.agent("b").transport.WatchTransfers(pb.WatchTransfersRequest(site="sites/b"))
            first = await anext(aiter(watch))
            assert (first.snapshot, [t.name for t in first.transfers]) == (True, [waiting.name])
            assert first.transfers[0].HasField("ticket")
            await movers.user.transport.CancelTransfer(pb.CancelTransferRequest(name=waiting.name))
            then = await anext(aiter(watch))
            assert [(t.name, t.state) for t in then.transfers] == [(waiting.name, CANCELLED)]
        with pytest.raises(Refusal, match="NOT_OWNER"):
            await anext(aiter(movers.agent("c").transport.WatchTransfers(pb.WatchTransfersRequest(site="sites/b"))))


async def test_a_transfer_ends_with_its_placement(opened: Any) -> None:
    """A cancelled job's data must not go on filling the path."""
    async with opened() as movers:
        await movers.publish()
        await movers.place("p1", Placement.STATE_STAGING)
        made = (await movers.transfer(placement="placements/p1", account="accounts/x")).transfer
        assert (made.party, made.account) == ("parties/acme", "accounts/x")
        assert made.purpose == Transfer.PURPOSE_INPUT
        await movers.place("p1", Placement.STATE_CANCELLED)
        ended = await movers.until(TRANSFERS, made.name, lambda t: t is not None and t.state == CANCELLED)
        assert ended.state_reason.code == "PLACEMENT_ENDED"
        late = await movers.report("b", made.name, ACTIVE)
        assert refusal_of(late.error).reason == "TRANSITION_NOT_ALLOWED"


@pytest.mark.parametrize(("site", "reason"), [("a", "SOURCE_LOST"), ("b", "TARGET_LOST")])
async def test_a_transfer_with_a_lost_end_fails_with_the_reason(opened: Any, site: str, reason: str) -> None:
    """A job that waits for a site that will not come back must be decided anew, or end."""
    async with opened() as movers:
        await movers.publish()
        made = (await movers.transfer()).transfer
        await movers.site(site, liveness=Site.LIVENESS_LOST)
        ended = await movers.until(TRANSFERS, made.name, lambda t: t is not None and t.state == FAILED)
        assert ended.state_reason.code == reason


async def test_a_transfer_to_a_site_lost_before_fails_too(opened: Any) -> None:
    """Results that were ready a moment too late would wait for ever."""
    async with opened() as movers:
        await movers.publish()
        await movers.site("b", liveness=Site.LIVENESS_LOST)
        made = (await movers.transfer()).transfer
        await movers.until(TRANSFERS, made.name, lambda t: t is not None and t.state == FAILED)


async def test_an_ended_transfer_leaves_etcd_but_is_still_shown(opened: Any) -> None:
    """etcd is for what lives; whoever asks next month what moved where must still be told."""
    async with opened() as movers:
        await movers.publish()
        made = (await movers.transfer()).transfer
        await movers.user.transport.CancelTransfer(pb.CancelTransferRequest(name=made.name))
        movers.clock.advance(86401)
        await movers.until(TRANSFERS, made.name, lambda message: message is None)
        shown = await movers.user.transport.GetTransfer(pb.GetTransferRequest(name=made.name))
        listed = await movers.user.transport.ListTransfers(pb.ListTransfersRequest())
        assert shown.state == CANCELLED
        assert [t.name for t in listed.transfers] == [made.name]


async def test_an_ended_transfer_stays_while_its_placement_waits_for_another(opened: Any) -> None:
    """A job with one result that takes more than a day would never learn that the first one has arrived."""
    async with opened() as movers:
        dataset = await movers.publish()
        await movers.place("p1", Placement.STATE_DELIVERING, site="a")
        ask = {"placement": "placements/p1", "purpose": Transfer.PURPOSE_RESULT}
        made = (await movers.transfer(transfer_id="a-out-0", **ask)).transfer
        await movers.report("b", made.name, DONE, receipt=Receipt(digest=dataset.digest))
        for later in ("t1", "t2"):  # the second is looked at after all that stood when the first had gone
            other = (await movers.transfer(transfer_id=later)).transfer
            movers.clock.advance(86401)
            await movers.until(TRANSFERS, other.name, lambda message: message is None)
        assert await movers.store.get(TRANSFERS, made.name) is not None
        await movers.place("p1", Placement.STATE_DONE, site="a")
        await movers.until(TRANSFERS, made.name, lambda message: message is None)


async def test_an_archived_transfer_is_neither_made_again_nor_unknown(opened: Any) -> None:
    """Whoever repeats a call of last week would have the data moved, and pay, twice."""
    async with opened() as movers:
        await movers.publish()
        made = (await movers.transfer(transfer_id="t")).transfer
        cancel = pb.CancelTransferRequest(name=made.name)
        cancelled = await movers.user.transport.CancelTransfer(cancel)
        movers.clock.advance(86401)
        await movers.until(TRANSFERS, made.name, lambda message: message is None)
        assert (await movers.transfer(transfer_id="t")).transfer == cancelled
        assert await movers.user.transport.CancelTransfer(cancel) == cancelled
        with pytest.raises(Refusal, match="TRANSFER_UNKNOWN"):
            await movers.stranger.transport.CancelTransfer(cancel)
        assert not (await movers.store.snapshot(TRANSFERS)).held


async def test_the_newest_transfer_is_listed_first(opened: Any) -> None:
    """What a user has just started is what they look for."""
    async with opened() as movers:
        await movers.publish()
        for number in range(3):
            await movers.transfer(transfer_id=f"t{number}")
            movers.clock.advance(1)
        listed = movers.user.transport.ListTransfers
        first = await listed(pb.ListTransfersRequest(page_size=2))
        rest = await listed(pb.ListTransfersRequest(page_token=first.next_page_token))
        assert [t.name for t in [*first.transfers, *rest.transfers]] == ["transfers/t2", "transfers/t1", "transfers/t0"]


async def test_datasets_outlive_etcd(opened: Any) -> None:
    """A node whose etcd is gone must still know what its users have published, by whom and where it lies."""
    async with opened() as movers:
        await movers.publish()
    async with opened() as movers:
        again = await movers.publish("other")
        listed = await movers.user.transport.ListDatasets(pb.ListDatasetsRequest(page_size=1))
        assert [dataset.name for dataset in listed.datasets] == ["datasets/digits"]
        rest = pb.ListDatasetsRequest(page_size=1, page_token=listed.next_page_token)
        assert (await movers.user.transport.ListDatasets(rest)).datasets == [again]


async def test_a_replica_follows_from_its_transfer_after_a_crash(opened: Any) -> None:
    """A leader that was killed between the two would have the data moved, and paid for, once more."""
    async with opened() as movers:
        dataset = await movers.publish()
        facts = {"party": "parties/acme", "purpose": Transfer.PURPOSE_COPY, "digest": dataset.digest}
        message = Transfer(name="transfers/t", dataset=dataset.name, target="sites/b", state=DONE, **facts)
        message.end_time.FromDatetime(movers.clock.now())
        await movers.store.commit(Create(TRANSFERS, message.name, message))
        await movers.until_replicas({"sites/a": Replica.STATE_COMPLETE, "sites/b": Replica.STATE_COMPLETE})


async def test_what_an_earlier_version_kept_in_etcd_is_moved() -> None:
    """Whoever upgrades a node must find his data under its names."""
    store, records = MemoryStore("transport"), MemoryRecords(HandClock(), seeded_rng(1))
    for number in range(3):
        dataset = Dataset(name=f"datasets/d{number}", digest="0" * 64)
        dataset.replicas.add(site="sites/a", state=Replica.STATE_COMPLETE)
        dataset.replicas.add(site="sites/b", state=Replica.STATE_PARTIAL)
        await store.commit(Create(DATASETS_BEFORE, dataset.name, dataset))
    await records.apply([Write([Put(DATASETS, "datasets/d1", Dataset(name="datasets/d1", bytes=7))])])
    await move_from_etcd(store, records, 0)
    found = await records.page(DATASETS, limit=9)
    assert [(record.name, len(record.message.replicas)) for record in found] == [
        ("datasets/d0", 1), ("datasets/d1", 0), ("datasets/d2", 1),
    ]  # fmt: skip
    assert not (await store.snapshot(DATASETS_BEFORE)).held
