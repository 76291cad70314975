"""What a store does when the answer to a write is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_kernel.refusals import Unavailable
from suanmesh_store import (
    Author,
    Conflict,
    Create,
    Delete,
    IdempotencyKey,
    IdempotencyRecord,
    KeyspaceError,
    KeyspaceErrorKind,
    MemoryKeyspace,
    Update,
    store,
)
from suanmesh_store.keyspace import Compare, Outcome, Write
from suanmesh_store.layout import Kind, hold_key
from suanmesh_store.memory import MemoryStore

JOBS = Kind("scheduler", "jobs", Job)
"""A kind as any."""

UNKNOWN = KeyspaceError(KeyspaceErrorKind.UNKNOWN, "the connection broke")
Step = Callable[[Callable[[], Awaitable[Outcome]]], Awaitable[Outcome]]


class BrokenLine(MemoryKeyspace):
    """The twin behind a line that breaks: each transaction meets the next of the given mishaps, then none."""

    def __init__(self, *mishaps: Step) -> None:
        super().__init__(HandClock())
        self.mishaps = list(mishaps)

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Outcome:
        async def carried_out() -> Outcome:
            return await super(BrokenLine, self).txn(compares, writes)

        return await (self.mishaps.pop(0)(carried_out) if self.mishaps else carried_out())


async def request_lost(carried_out: Callable[[], Awaitable[Outcome]]) -> Outcome:
    raise UNKNOWN


async def answer_lost(carried_out: Callable[[], Awaitable[Outcome]]) -> Outcome:
    await carried_out()
    raise UNKNOWN


async def arrives(carried_out: Callable[[], Awaitable[Outcome]]) -> Outcome:
    return await carried_out()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "UNKNOWN_PAUSE_S", 0.0)


def a_store(*mishaps: Step) -> tuple[MemoryStore, BrokenLine]:
    keys = BrokenLine(*mishaps)
    return MemoryStore("scheduler", keys=keys, rng=seeded_rng(1)), keys


def a_create(name: str = "jobs/a") -> Create[Job]:
    return Create(JOBS, name, Job(name=name))


def an_idempotency_record() -> IdempotencyRecord:
    return IdempotencyRecord(
        IdempotencyKey("spiffe://demo/party/lab/user/anna", "r-1", "/S/SubmitJobs"), b"digest", Job(name="jobs/a")
    )


@pytest.mark.parametrize("mishap", [request_lost, answer_lost])
@pytest.mark.parametrize("again", [request_lost, answer_lost, arrives])
async def test_a_commit_is_applied_once_and_told_as_it_is(mishap: Step, again: Step) -> None:
    """A scheduler must not place a gang again that it has placed, nor give up one that stands."""
    scheduler, _ = a_store(mishap, again)

    done = await scheduler.commit(a_create(), remember=an_idempotency_record())

    assert await scheduler.get(JOBS, "jobs/a") == done.held[0]
    assert done.held[0].version == 1


async def test_an_update_whose_answer_was_lost_counts_up_once() -> None:
    """A capacity that is booked twice for one job is lost to everybody."""
    scheduler, keys = a_store()
    held = (await scheduler.commit(a_create())).held[0]
    keys.mishaps = [answer_lost]

    done = await scheduler.commit(Update(held, Job(name="jobs/a", account="accounts/x")))

    assert done.held[0].version == 2
    assert await scheduler.get(JOBS, "jobs/a") == done.held[0]


async def test_what_was_overwritten_meanwhile_cannot_be_told() -> None:
    """To claim either outcome without proof would be a lie that an account pays for."""
    scheduler, keys = a_store()
    held = (await scheduler.commit(a_create())).held[0]

    async def applied_then_overwritten(carried_out: Callable[[], Awaitable[Outcome]]) -> Outcome:
        await carried_out()
        current: Any = await scheduler.get(JOBS, "jobs/a")
        await scheduler.commit(Update(current, Job(name="jobs/a", account="accounts/other")))
        raise UNKNOWN

    keys.mishaps = [applied_then_overwritten]
    with pytest.raises(Unavailable) as refused:
        await scheduler.commit(Update(held, Job(name="jobs/a", account="accounts/x")))

    assert refused.value.reason == "OUTCOME_UNKNOWN"


async def test_another_document_in_its_place_is_no_proof() -> None:
    """Two users who chose one name while the line broke must not both believe they got it."""
    scheduler, keys = a_store()

    async def taken_by_another(carried_out: Callable[[], Awaitable[Outcome]]) -> Outcome:
        await scheduler.commit(a_create(), author=Author("spiffe://demo/party/lab/user/ben"))
        raise UNKNOWN

    keys.mishaps = [taken_by_another]
    with pytest.raises(Unavailable) as refused:
        await scheduler.commit(a_create(), author=Author("spiffe://demo/party/lab/user/anna"))

    assert refused.value.reason == "OUTCOME_UNKNOWN"
    standing = await scheduler.get(JOBS, "jobs/a")
    assert standing is not None
    assert standing.principal.endswith("ben")


async def test_a_lost_delete_is_not_claimed() -> None:
    """A key that is gone does not tell who removed it."""
    scheduler, keys = a_store()
    held = (await scheduler.commit(a_create())).held[0]
    keys.mishaps = [answer_lost]

    with pytest.raises(Unavailable) as refused:
        await scheduler.commit(Delete(held))

    assert refused.value.reason == "OUTCOME_UNKNOWN"
    assert await scheduler.get(JOBS, "jobs/a") is None


async def test_a_line_that_stays_broken_is_given_up_in_bounded_time() -> None:
    """A call must come back before its caller's patience ends, with the truth."""
    scheduler, keys = a_store(*[request_lost] * 20)

    with pytest.raises(Unavailable) as refused:
        await scheduler.commit(a_create())

    assert refused.value.reason == "OUTCOME_UNKNOWN"
    assert len(keys.mishaps) == 20 - (store.UNKNOWN_TRIES + 1)


async def test_answers_are_remembered_on_a_new_lease_when_the_old_one_is_gone() -> None:
    """A service that runs for a week must still be able to answer a request for the first time."""
    scheduler, keys = a_store()
    await scheduler.commit(a_create(), remember=an_idempotency_record())
    for lease in list(keys._space.leases.values()):
        await lease.revoke()
    later = IdempotencyRecord(
        IdempotencyKey("spiffe://demo/party/lab/user/anna", "r-2", "/S/SubmitJobs"), b"digest", Job(name="jobs/b")
    )

    await scheduler.commit(a_create("jobs/b"), remember=later)

    assert await scheduler.lookup(later.key) is not None
    with pytest.raises(Conflict):
        await scheduler.commit(a_create("jobs/b"), remember=None)


async def test_a_token_on_another_lease_is_no_proof() -> None:
    """A hold of an earlier round that happens to be of the same amount is not this round's hold."""
    scheduler, keys = a_store()
    earlier, mine = await scheduler.open_lease(10), await scheduler.open_lease(10)
    key = hold_key("placements/p", "accounting", 0)

    async def another_round(carried_out: Callable[[], Awaitable[Outcome]]) -> Outcome:
        await scheduler.put_token(key, b"120", earlier.id)
        raise UNKNOWN

    keys.mishaps = [another_round]
    with pytest.raises(Unavailable) as refused:
        await scheduler.put_token(key, b"120", mine.id)
    assert refused.value.reason == "OUTCOME_UNKNOWN"

    await earlier.revoke()
    keys.mishaps = [answer_lost]
    assert await scheduler.put_token(key, b"120", mine.id) > 0
