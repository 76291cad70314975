"""How many datasets and transfers one party may have."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.transport.v1 import transport_service_pb2 as pb
from suanmesh.transport.v1.transfer_pb2 import Transfer
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.status import refusal_of
from suanmesh_store.layout import TRANSFERS

ROOM = 8


def reason(result: pb.TransferResult) -> str:
    return refusal_of(result.error).reason if result.HasField("error") else ""


async def asked(movers: Any, count: int, by: Any, target: str = "sites/b") -> list[str]:
    items = [pb.TransferAsk(dataset="datasets/digits", target=target) for _ in range(count)]
    results = (await by.transport.CreateTransfers(pb.CreateTransfersRequest(items=items))).results
    return [reason(result) for result in results]


async def test_a_user_begins_no_more_transfers_than_its_party_may(opened: Any) -> None:
    """One user in a loop would else fill etcd with transfers, each with its ticket, and the archive after it."""
    async with opened() as movers:
        await movers.publish()
        assert await asked(movers, ROOM + 2, movers.user) == [""] * ROOM + ["TRANSFERS_TOO_MANY"] * 2

        async def seen() -> None:
            listed = await movers.user.transport.ListTransfers(pb.ListTransfersRequest(page_size=1000))
            assert len(listed.transfers) == ROOM

        await seen()
        [first] = (await movers.user.transport.ListTransfers(pb.ListTransfersRequest(page_size=1))).transfers
        await movers.user.transport.CancelTransfer(pb.CancelTransferRequest(name=first.name))
        await movers.until(TRANSFERS, first.name, lambda m: m is not None and m.state == Transfer.STATE_CANCELLED)
        assert await asked(movers, 1, movers.user) == ["TRANSFERS_TOO_MANY"]
        assert await asked(movers, 1, movers.scheduler) == [""]


async def test_a_party_publishes_no_more_datasets_than_it_may(opened: Any) -> None:
    """A hostile agent would else fill etcd with names; what jobs have made is not lost for it."""
    async with opened() as movers:
        for number in range(ROOM):
            await movers.publish(f"d{number}")
        with pytest.raises(Refusal) as refused:
            await movers.publish("one-more")
        assert (refused.value.reason, refused.value.facts["most"]) == ("DATASETS_TOO_MANY", str(ROOM))
        assert (await movers.publish("d0")).name == "datasets/d0"
