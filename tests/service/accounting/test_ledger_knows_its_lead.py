"""A node goes on with the ledger it had: money that was paid in does not vanish because another process took over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.etcd import LedgerMarks
from suanmesh_accounting.leading import MARK_GOOD_S, LedgerThatLeads, take_lead
from suanmesh_accounting.ledger import open_ledger
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import Unavailable
from suanmesh_store.soundness import StoreCorrupt
from suanmesh_store.store import KeyspaceStore

Lead = Callable[..., Awaitable[None]]


@pytest.fixture
async def lead(tmp_path: Path, stores: Callable[[str], KeyspaceStore]) -> AsyncIterator[Lead]:
    """Has an instance with a ledger of some name begin to lead, as its main does it."""
    async with AsyncExitStack() as closing:
        count = iter(range(100))

        async def begin(folder: str, *, node: str = "home", lead_with: str = "") -> None:
            ledger = open_ledger(f"sqlite:///{tmp_path}/{folder}")
            closing.push_async_callback(ledger.close)
            marks = LedgerMarks(stores("accounting"), HandClock())
            await take_lead(ledger, marks, node=node, name=f"l{next(count)}", lead_with=lead_with)

        yield begin


async def test_a_ledger_leads_again_and_again(lead: Lead) -> None:
    """A restart, or another process on the same file, must not keep a node from its money."""
    for _ in range(3):
        await lead("one")


async def test_a_standby_with_an_empty_ledger_does_not_take_over_in_silence(lead: Lead) -> None:
    """Every balance would be zero, every job be refused, and the first thing anybody saw of it a customer's call."""
    await lead("one")
    for _ in range(2):
        with pytest.raises(
            StoreCorrupt, match=r"home cannot be led with the ledger l1, since l0 led it before: .*LEAD_WITH=l1 "
        ) as refused:
            await lead("empty")
        assert "\n" not in str(refused.value)
    await lead("one")


async def test_an_operator_may_begin_anew(lead: Lead) -> None:
    """When a disk has burned down the node must be able to go on, by a decision and not by accident."""
    await lead("burned")
    with pytest.raises(StoreCorrupt):
        await lead("new", lead_with="l0")
    await lead("new", lead_with="l1")
    await lead("new")
    with pytest.raises(StoreCorrupt, match="the ledger l0, since"):
        await lead("burned")


async def test_a_ledger_leads_no_other_node(lead: Lead) -> None:
    """Two nodes that keep one ledger sell the same money twice; nobody may force that."""
    await lead("one")
    with pytest.raises(StoreCorrupt, match="made for the node home:"):
        await lead("one", node="away", lead_with="l0")


async def test_an_instance_tells_of_the_ledger_that_leads_and_of_no_other(
    tmp_path: Path, stores: Callable[[str], KeyspaceStore], lead: Lead
) -> None:
    """A customer who asks a standby with another folder must not be told that the account has nothing in it."""
    clock = HandClock()
    ledgers = {name: open_ledger(f"sqlite:///{tmp_path}/{name}") for name in ("one", "other")}
    marks = LedgerMarks(stores("accounting"), clock)
    standby = {name: LedgerThatLeads(ledger, marks, "home", clock) for name, ledger in ledgers.items()}
    away = LedgerThatLeads(ledgers["one"], marks, "away", clock)
    query = q.Accounts(q.cut_of(10, "", "test"), "")

    async def told(reads: LedgerThatLeads) -> bool:
        try:
            return (await reads.page(query)).items == ()
        except Unavailable:
            return False

    assert not await told(standby["one"])
    await lead("one")
    assert [await told(reads) for reads in (standby["one"], standby["other"], away)] == [True, False, False]
    with pytest.raises(StoreCorrupt):
        await lead("other")
    await lead("other", lead_with="l1")
    clock.advance(MARK_GOOD_S)
    assert [await told(reads) for reads in (standby["one"], standby["other"], away)] == [False, True, False]
    for ledger in ledgers.values():
        await ledger.close()
