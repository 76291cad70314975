"""What every store promises of leases, holds, elections and the fence."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, Unavailable
from suanmesh_store import Conflict, Create, Holds, Leadership, Update, attachment_of, confirmed
from suanmesh_store.layout import HOLDS, PLACEMENTS, Kind, election_key, hold_key, holds_of

JOBS = Kind("scheduler", "jobs", Job)
"""A kind as any."""

MONEY = hold_key("placements/p", "accounting", 0)
PATH = hold_key("placements/p", "network_orchestrator", 0)
ROUND_S = 2.0


@dataclass(frozen=True)
class Believer:
    """A leader that was paused and does not know yet: it believes its term runs."""

    term: Leadership
    alive: bool = True

    @property
    def key(self) -> str:
        return self.term.key

    @property
    def fence(self) -> int:
        return self.term.fence

    @property
    def lost(self) -> asyncio.Event:
        return asyncio.Event()

    async def resign(self) -> None:
        return None


async def test_a_round_commits_over_its_holds(world: Any) -> None:
    """A job's path and money must outlive the round that held them, unchanged, once its placement stands."""
    scheduler, money, network = world.store("scheduler"), world.store("accounting"), world.store("network_orchestrator")
    async with await scheduler.open_lease(ROUND_S) as lease:
        assert lease.alive
        tokens = [
            await Holds(money).put("placements/p", 0, b"120", attachment_of(lease)),
            await Holds(network).put("placements/p", 0, b"1 Gbit/s", attachment_of(lease)),
        ]
        await scheduler.commit(
            *(confirmed(token) for token in tokens),
            Create(PLACEMENTS, "placements/p", Placement(name="placements/p")),
        )
    await world.lapse(lease)

    standing = await scheduler.tokens(holds_of("placements/p"))

    assert not lease.alive
    assert [(token.key, token.value, token.lease) for token in standing.tokens] == [
        (MONEY, b"120", 0),
        (PATH, b"1 Gbit/s", 0),
    ]
    assert await Holds(money).attachment("placements/p", 0) == ""
    await Holds(money).drop([("placements/p", 0)])
    await Holds(money).drop([("placements/p", 0)])
    assert await money.get_token(MONEY) is None


async def test_holds_evaporate_with_their_round(world: Any) -> None:
    """When the scheduler dies between hold and commit, nobody's money may stay held; owners must be told."""
    scheduler, money = world.store("scheduler"), world.store("accounting")
    lease = await scheduler.open_lease(ROUND_S)
    held = await money.put_token(MONEY, b"120", lease.id)

    async with aclosing(money.watch_tokens(HOLDS, held)) as batches, asyncio.timeout(60):
        await world.lapse(lease)
        batch = await anext(batches)

    assert batch.changes == ((MONEY, None),)
    with pytest.raises(FailedPrecondition) as refused:
        await money.put_token(PATH, b"1", lease.id)
    assert refused.value.reason == "HOLD_LAPSED"


async def test_no_commit_over_a_hold_that_is_gone(world: Any) -> None:
    """A placement must never stand on money that was given back."""
    scheduler, money = world.store("scheduler"), world.store("accounting")
    lease = await scheduler.open_lease(ROUND_S)
    token = await Holds(money).put("placements/p", 0, b"120", attachment_of(lease))
    await lease.revoke()
    placement = Create(PLACEMENTS, "placements/p", Placement(name="placements/p"))

    with pytest.raises(Conflict) as gone:
        await scheduler.commit(confirmed(token), placement)
    await Holds(money).put("placements/p", 0, b"120", attachment_of(await scheduler.open_lease(ROUND_S)))
    with pytest.raises(Conflict) as another:
        await scheduler.commit(confirmed(token), placement)

    assert gone.value.keys == another.value.keys == (MONEY,)
    assert await scheduler.get(PLACEMENTS, "placements/p") is None


@pytest.mark.parametrize("word", ["", "p/accounting/0", "-1/p/accounting/0", "\u0663/p/accounting/0", "7"])
async def test_a_word_that_no_store_gave_out_is_no_token(word: str) -> None:
    """A caller that mixes tokens up must hear it, and never reach a key outside the holds."""
    with pytest.raises(InvalidArgument, match="FIELD_INVALID"):
        confirmed(word)


@pytest.mark.parametrize("word", ["", "0", "-1", "lease", "f" * 40])
async def test_a_word_that_no_store_gave_out_holds_nothing(world: Any, word: str) -> None:
    """A hold attached to nothing would never go by itself."""
    money = world.store("accounting")
    with pytest.raises(InvalidArgument, match="FIELD_INVALID"):
        await Holds(money).put("placements/p", 0, b"120", word)
    assert not await Holds(money).stands("placements/p", 0)


async def test_a_hold_repeated_is_the_hold_that_stands(world: Any) -> None:
    """A scheduler that asks again after a lost answer must get the same hold; another round must not get it."""
    scheduler, money = world.store("scheduler"), world.store("accounting")
    lease, other = await scheduler.open_lease(ROUND_S), await scheduler.open_lease(ROUND_S)
    held = await money.put_token(MONEY, b"120", lease.id)

    assert await money.put_token(MONEY, b"120", lease.id) == held
    with pytest.raises(Conflict):
        await money.put_token(MONEY, b"120", other.id)
    assert await money.put_token(MONEY, b"130", lease.id, must_not_exist=False) > held


async def test_a_kept_lease_lives_until_it_is_revoked(world: Any) -> None:
    """A site's mark of life must stand as long as its agent's stream does, and no longer."""
    registry = world.store("registry")
    async with await registry.open_lease(ROUND_S, kept=True) as lease:
        await registry.put_token("/suanmesh/registry/alive/a", b"", lease.id)
        lapsing = await registry.open_lease(ROUND_S)
        await world.lapse(lapsing)
        assert lease.alive
        assert await registry.get_token("/suanmesh/registry/alive/a") is not None

    assert not lease.alive
    assert await registry.get_token("/suanmesh/registry/alive/a") is None


async def test_whoever_holds_a_lease_learns_of_its_end(world: Any) -> None:
    """A process that does not hear that its mark of life is gone stays unknown to all others."""
    registry = world.store("registry")
    lease = await registry.open_lease(ROUND_S, kept=True)
    assert not lease.lost.is_set()

    await world.end_lease(lease)

    async with asyncio.timeout(60):
        await lease.lost.wait()
    assert not lease.alive


async def test_a_document_on_a_lease_stays_on_it_when_updated(world: Any) -> None:
    """A document that should vanish with its owner must not become permanent by being written."""
    store = world.store("scheduler")
    lease = await store.open_lease(ROUND_S)
    first = (await store.commit(Create(JOBS, "jobs/a", Job(name="jobs/a"), lease=lease.id))).held[0]
    second = (await store.commit(Update(first, Job(name="jobs/a", account="accounts/b")))).held[0]
    assert second.lease == lease.id

    await lease.revoke()

    assert await store.get(JOBS, "jobs/a") is None


async def test_one_leads_and_the_next_waits(world: Any) -> None:
    """Two instances of one area must not both write; whoever asks is told where to go."""
    first = await world.elect("scheduler", "127.0.0.1:1")
    async with asyncio.TaskGroup() as tasks, asyncio.timeout(60):
        store = world.store("scheduler")
        async with aclosing(store.watch_tokens(election_key("scheduler"), first.fence)) as candidates:
            waiting = tasks.create_task(world.elect("scheduler", "127.0.0.1:2"))
            await anext(candidates)
        assert await store.leader("scheduler") == "127.0.0.1:1"
        assert not waiting.done()
        await first.resign()
    second = waiting.result()

    assert await store.leader("scheduler") == "127.0.0.1:2"
    assert second.fence > first.fence
    assert (second.alive, first.alive, first.lost.is_set()) == (True, False, True)
    assert await store.leader("registry") == ""
    await second.resign()


async def test_a_leader_writes_under_its_fence(world: Any) -> None:
    """An auditor must be able to tell which leader wrote what, and the leader must not be hindered."""
    term = await world.elect("scheduler", "127.0.0.1:1")
    store = world.store("scheduler", term)

    held = (await store.commit(Create(JOBS, "jobs/a", Job(name="jobs/a")))).held[0]

    assert await store.get(JOBS, "jobs/a") == held
    assert await store.bulk_put(JOBS, [("jobs/b", Job(name="jobs/b"))]) == 1
    await term.resign()


@pytest.mark.parametrize("knows", [True, False], ids=["its clock tells it", "it does not know"])
async def test_a_leader_paused_past_its_lease_can_commit_nothing(world: Any, knows: bool) -> None:
    """A scheduler that was frozen and wakes up would sell what its successor has sold already."""
    old = await world.elect("scheduler", "127.0.0.1:1")
    held = (await world.store("scheduler", old).commit(Create(JOBS, "jobs/a", Job(name="jobs/a")))).held[0]
    await world.end_term(old)
    new = await world.elect("scheduler", "127.0.0.1:2")
    if knows:
        async with asyncio.timeout(60):
            await old.lost.wait()
    woken = world.store("scheduler", old if knows else Believer(old))
    lease = await woken.open_lease(ROUND_S)

    for attempt in (
        woken.commit(Create(JOBS, "jobs/b", Job(name="jobs/b"))),
        woken.commit(Update(held, Job(name="jobs/a", account="accounts/x"))),
        woken.bulk_put(JOBS, [("jobs/c", Job(name="jobs/c"))]),
        woken.put_token("/suanmesh/holds/p/scheduler/0", b"", lease.id),
        woken.delete_tokens([new.key]),
    ):
        with pytest.raises(Unavailable) as refused:
            await attempt
        assert (refused.value.reason, refused.value.facts["leader"]) == ("NOT_LEADER", "127.0.0.1:2")

    assert (await woken.snapshot(JOBS)).held == (held,)
    assert (await woken.tokens(HOLDS)).tokens == ()
    await new.resign()


async def test_a_leader_that_is_gone_is_deposed_by_name(world: Any) -> None:
    """Until its lease lapses nobody else could write; and whoever leads by then must not be sent away for it."""
    first = await world.elect("scheduler", "127.0.0.1:1")
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(world.elect("scheduler", "127.0.0.1:2"))
        await world.depose("scheduler", "127.0.0.1:9")
        assert first.alive
        await world.depose("scheduler", "127.0.0.1:1")
        async with asyncio.timeout(60):
            second = await waiting
    await world.depose("scheduler", "127.0.0.1:1")

    assert second.alive
    assert second.fence > first.fence
