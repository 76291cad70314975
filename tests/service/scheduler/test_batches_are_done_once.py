"""A batch that was cut off is completed by its repeat: each item has one effect, and in the end its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from google.rpc import code_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh.accounting.v1 import account_pb2
from suanmesh.scheduler.v1 import job_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh.transport.v1 import dataset_pb2
from suanmesh_chassis import Call, batches
from suanmesh_chassis.call import Caller
from suanmesh_chassis.testing import USER
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_kernel.refusals import DeadlineExceeded, Refusal, Unavailable
from suanmesh_scheduler.jobs import Jobs
from suanmesh_scheduler.mirrors import open_mirrors
from suanmesh_scheduler.record_kinds import JOBS
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_scheduler.submitting import Submitting
from suanmesh_scheduler.testing import FakePeers
from suanmesh_sdk.status import refusal_of
from suanmesh_store import AlreadyAnswered, IdempotencyKey, MemoryStore
from suanmesh_store.records import MemoryRecords, Records

JobOf = Callable[..., job_pb2.Job]
ITEMS = 4
METHOD = "suanmesh.scheduler.v1.SchedulerService/SubmitJobs"
DIGEST = b"body"


def late() -> DeadlineExceeded:
    return DeadlineExceeded("DEADLINE_EXCEEDED", "no time was left", domain="mesh.suanmesh")


async def test_a_repeat_does_what_there_was_no_time_for(scheduler: Any, job_of: JobOf) -> None:
    """Whoever gave a batch too little time could never have the rest of it done, and had to guess what was."""
    items = [pb.SubmitJob(job_id=f"j{i}", job=job_of(inputs=["in"] if i else [])) for i in range(3)]
    request = pb.SubmitJobsRequest(items=items, request_id="cut")
    scheduler.peers.refusals["dataset"] = [late()]

    first = await scheduler.user.scheduler.SubmitJobs(request)
    assert [result.error.code for result in first.results] == [
        0,
        code_pb2.DEADLINE_EXCEEDED,
        code_pb2.DEADLINE_EXCEEDED,
    ]
    again = await scheduler.user.scheduler.SubmitJobs(request)
    assert again.results[0] == first.results[0]
    assert [result.job.name for result in again.results] == ["jobs/j0", "jobs/j1", "jobs/j2"]
    assert await scheduler.user.scheduler.SubmitJobs(request) == again
    assert len(await scheduler.jobs_kept()) == 3


async def test_a_batch_of_nothing_but_delays_is_not_remembered(scheduler: Any, job_of: JobOf) -> None:
    """One moment without accounting would refuse a job for a day."""
    scheduler.peers.refusals["account"] = [Unavailable("NOT_READY", "away", domain="mesh.suanmesh")]
    first = await scheduler.submit_raw(job_of(), "", request_id="away")
    again = await scheduler.submit_raw(job_of(), "", request_id="away")
    assert first.results[0].error.code == code_pb2.UNAVAILABLE
    assert again.results[0].HasField("job")


async def test_a_final_answer_stays(scheduler: Any, job_of: JobOf) -> None:
    """A program that reads the answer again must not find that the refused job runs by now."""
    job = job_of()
    job.account = "accounts/later"
    first = await scheduler.submit_raw(job, "", request_id="once")
    scheduler.peers.accounts["accounts/later"] = account_pb2.Account(name=job.account, party="parties/acme")
    assert await scheduler.submit_raw(job, "", request_id="once") == first
    assert first.results[0].error.code == code_pb2.NOT_FOUND


async def test_a_job_on_a_closed_account_is_refused_at_once(scheduler: Any, job_of: JobOf) -> None:
    """It would wait for ever for money that was paid out."""
    scheduler.peers.accounts["accounts/a"].close_time.GetCurrentTime()
    answer = await scheduler.submit_raw(job_of(), "", request_id="closed")
    assert refusal_of(answer.results[0].error).reason == "ACCOUNT_CLOSED"


async def test_a_batch_of_the_largest_jobs_has_room(scheduler: Any, job_of: JobOf) -> None:
    """A record that holds every job a second time would not fit into one transaction with them."""
    job = job_of()
    job.package.variants[0].artefacts.add(path="data.bin", content=b"x" * 5000)
    items = [pb.SubmitJob(job=job) for _ in range(100)]
    answer = await scheduler.user.scheduler.SubmitJobs(pb.SubmitJobsRequest(items=items, request_id="large"))
    assert all(result.HasField("job") for result in answer.results)
    kept = await scheduler.records.lookup(IdempotencyKey(USER, "large", METHOD))
    assert kept.record.ByteSize() < 100 * 160


class Away(FakePeers):
    """The other areas, of which some datasets cannot be asked for now."""

    away: frozenset[str] = frozenset()

    async def account(self, name: str) -> account_pb2.Account:
        await asyncio.sleep(0)
        return await super().account(name)

    async def dataset(self, name: str) -> dataset_pb2.Dataset:
        await asyncio.sleep(0)
        if name in self.away:
            raise late()
        return await super().dataset(name)


class Cut(MemoryRecords):
    """Records whose writes may be cut off before or after they have an effect."""

    cut = ""

    async def apply(self, writes: Any, *, fence: int = 0) -> Any:
        await asyncio.sleep(0)
        if self.cut == "before":
            raise Unavailable("NOT_READY", "cut off", domain="mesh.suanmesh")
        done = await super().apply(writes, fence=fence)
        if self.cut == "after":
            raise Unavailable("OUTCOME_UNKNOWN", "cut off", domain="mesh.suanmesh")
        return done


ATTEMPTS = st.lists(
    st.tuples(st.frozensets(st.integers(0, ITEMS - 1)), st.sampled_from(["", "before", "after"]), st.booleans()),
    max_size=6,
)
"""What cannot be asked for, where the commit is cut off, and whether the request is sent twice at once."""


@settings(max_examples=40, deadline=None)
@given(ATTEMPTS, st.frozensets(st.integers(0, ITEMS - 1)))
def test_every_item_has_one_effect_and_in_the_end_its_answer(
    attempts: list[tuple[frozenset[int], str, bool]], refused: frozenset[int]
) -> None:
    """Money is held for each job: one too many is paid for, one too few is missed."""
    asyncio.run(_replayed(attempts, refused))


async def _replayed(attempts: list[tuple[frozenset[int], str, bool]], refused: frozenset[int]) -> None:
    clock = HandClock()
    store = MemoryStore("scheduler", clock=clock, rng=seeded_rng(1))
    records = Cut(clock, seeded_rng(3))
    peers = Away(store.of("accounting"), store.of("network_orchestrator"), store.of("transport"))
    peers.accounts["accounts/a"] = account_pb2.Account(name="accounts/a", party="parties/acme")
    for i in range(ITEMS):
        peers.datasets[f"datasets/d{i}"] = dataset_pb2.Dataset(
            party="parties/other" if i in refused else "parties/acme"
        )
    mirrors = await open_mirrors(store, records)
    jobs = Jobs(records, mirrors.jobs)
    submitting = Submitting(
        store, jobs, mirrors, None, peers, clock, seeded_rng(2), SchedulerSettings(), None,  # type: ignore[arg-type]
    )  # fmt: skip
    settled: dict[int, bytes] = {}
    for away, cut, twice in [*attempts, (frozenset(), "", False)]:
        peers.away, records.cut = frozenset(f"datasets/d{i}" for i in away), cut
        clock.advance(1)
        for answer in await asyncio.gather(*(_asked(submitting, records, clock) for _ in range(2 if twice else 1))):
            found = {i: entry.SerializeToString() for i, entry in batches.settled(answer).items()}
            assert not found or settled == {i: found[i] for i in settled}
            settled |= found
    assert len(settled) == ITEMS
    assert len(await records.page(JOBS, limit=ITEMS)) == len(mirrors.jobs) == ITEMS - len(refused)


async def _asked(submitting: Submitting, records: Records, clock: HandClock) -> pb.SubmitJobsResponse:
    """As the chassis asks: with what is remembered, again where another way was faster; empty where it was cut off."""
    key = IdempotencyKey("ann", "r", METHOD)
    answered = await records.lookup(key)
    while True:
        earlier = {} if answered is None else batches.settled(pb.SubmitJobsResponse.FromString(answered.record.answer))
        call = Call(
            METHOD, Caller("ann", "parties/acme"), "r", "", DIGEST, "peer", None, clock,
            earlier, answered.revision if answered else 0,
        )  # fmt: skip
        try:
            return await submitting.submit(_items(), call)
        except AlreadyAnswered as again:
            answered = again.answered
        except Refusal:
            return pb.SubmitJobsResponse()


def _items() -> list[pb.SubmitJob]:
    items = []
    for i in range(ITEMS):
        job = job_pb2.Job(account="accounts/a", max_duration_s=10)
        job.ask.cpu_milli = job.ask.memory_bytes = 1
        job.package.variants.add(command=["true"])
        job.inputs.add(dataset=f"datasets/d{i}", mount="in")
        items.append(pb.SubmitJob(job_id="" if i % 2 else f"named-{i}", job=job))
    return items
