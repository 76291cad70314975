"""A site asks what is stored of its meter, and is told of its own alone."""

from __future__ import annotations

from typing import Any

import pytest

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.type.v1.money_pb2 import METER_CPU_US
from suanmesh_kernel.refusals import Refusal


async def state(books: Any, site: str, epoch: str, *works: str) -> pb.MeteringState:
    request = pb.GetMeteringStateRequest(epoch=epoch, works=works)
    return await books.agent(site).accounting.GetMeteringState(request)


async def test_a_site_that_was_set_back_learns_where_its_meter_stands(books: Any) -> None:
    """Without it the site numbers its records as others were numbered, and all it measures is lost."""
    await books.place("p", 100)
    assert await state(books, "a", "e1") == pb.MeteringState()
    await books.use("a", "p", 30, task=0)
    await books.use("a", "p", 12, task=0, final=True)
    await books.use("a", "p", 5, task=1)
    await books.use("a", "nobody", 9)  # no hold pays for it, and yet it has come
    await books.use("a", "p", 1, epoch="e2", sequence=1)

    found = await state(books, "a", "e1", "placements/p", "placements/nobody", "placements/other")

    assert (found.last_epoch, found.last_sequence) == ("e2", 4)
    works = {(each.work, each.task): (each.readings, each.final) for each in found.works}
    sums = {key: [(r.meter, r.quantity) for r in readings] for key, (readings, _) in works.items()}
    assert sums == {
        ("placements/p", 0): [(METER_CPU_US, 43)],
        ("placements/p", 1): [(METER_CPU_US, 5)],
        ("placements/nobody", 0): [(METER_CPU_US, 9)],
    }
    assert [final for _, final in works.values()] == [True, False, False]


async def test_a_site_is_told_of_its_own_meter_alone(books: Any) -> None:
    """What another site measured, and how busy it is, is that site's."""
    await books.place("p", 100)
    await books.use("a", "p", 30)
    assert await state(books, "b", "e1", "placements/p") == pb.MeteringState()
    with pytest.raises(Refusal) as caught:
        await books.user.accounting.GetMeteringState(pb.GetMeteringStateRequest())
    assert caught.value.reason == "ROLE_DENIED"


async def test_a_transfer_is_told_by_its_own_name(books: Any) -> None:
    """A result that was moved once must not be charged again after a restore."""
    await books.place("p", 100)
    await books.moved("a", "p", "t", 60)
    found = await state(books, "a", "e1", "transfers/t")
    assert [(each.work, each.final, each.readings[0].quantity) for each in found.works] == [("transfers/t", True, 60)]
