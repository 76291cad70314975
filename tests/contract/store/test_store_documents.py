"""What every store promises of documents, commits and remembered answers."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry import trace

from suanmesh.registry.v1.site_pb2 import Site
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_store import (
    AlreadyAnswered,
    Author,
    Conflict,
    Create,
    Delete,
    IdempotencyKey,
    IdempotencyRecord,
    Store,
    Unchanged,
    Update,
)
from suanmesh_store.layout import PLACEMENTS, SITES, Kind, hold_key
from suanmesh_store.store import KEYS_AT_ONCE, SCAN_PAGE

JOBS = Kind("scheduler", "jobs", Job)
"""A kind as any."""

ANNA = Author("spiffe://demo/party/lab/user/anna", "r-1")
SUBMIT = IdempotencyKey(ANNA.principal, ANNA.request_id, "/suanmesh.scheduler.v1.SchedulerService/SubmitJobs")


def a_job(name: str = "jobs/a", **fields: Any) -> Job:
    return Job(name=name, **fields)


def an_idempotency_record(answer: Job, body: bytes = b"body") -> IdempotencyRecord:
    return IdempotencyRecord(SUBMIT, hashlib.sha256(body).digest(), answer)


async def created(store: Store, name: str = "jobs/a") -> Any:
    return (await store.commit(Create(JOBS, name, a_job(name)), author=ANNA)).held[0]


async def test_a_document_is_read_back_as_it_was_written(world: Any) -> None:
    """A user who submitted a job must find exactly that job, and who wrote it when."""
    store = world.store("scheduler")
    before = datetime.now(UTC)

    done = await store.commit(Create(JOBS, "jobs/a", a_job(account="accounts/lab")), author=ANNA)

    held = await store.get(JOBS, "jobs/a")
    assert held == done.held[0]
    assert (held.message, held.mod_revision, held.version) == (a_job(account="accounts/lab"), done.revision, 1)
    assert (held.principal, held.request_id, held.etag) == (ANNA.principal, "r-1", f"{held.uid}-1")
    assert held.update_time.tzinfo is UTC
    assert held.update_time <= datetime.now(UTC)
    assert before.year >= held.update_time.year


async def test_a_document_that_is_not_there_is_none(world: Any) -> None:
    """A reader must tell an absent job from an empty one."""
    assert await world.store("scheduler").get(JOBS, "jobs/a") is None


async def test_many_documents_are_read_at_once_and_those_that_are_gone_left_out(world: Any) -> None:
    """A reader of a thousand placements must not ask a thousand times, nor take a missing one for an empty one."""
    store = world.store("scheduler")
    names = [f"jobs/{number:04}" for number in range(KEYS_AT_ONCE + 2)]
    await store.bulk_put(JOBS, ((name, a_job(name)) for name in names))

    found = await store.get_many(JOBS, [*names[::-1], "jobs/none", names[0]])

    assert {name: held.message for name, held in found.items()} == {name: a_job(name) for name in names}
    assert await store.get_many(JOBS, []) == {}


async def test_documents_of_several_kinds_are_read_at_one_revision(world: Any) -> None:
    """Who decides from a party, a site and a placement must not see each as of another moment."""
    await world.store("registry").commit(Create(SITES, "sites/a", Site(name="sites/a")))
    await created(world.store("scheduler"))

    job, absent, site = await world.store("scheduler").get_each((JOBS, "jobs/a"), (JOBS, "jobs/b"), (SITES, "sites/a"))

    assert absent is None
    assert (job.message, site.message) == (a_job(), Site(name="sites/a"))
    assert job == await world.store("scheduler").get(JOBS, "jobs/a")


async def test_an_update_counts_up_and_goes_on_in_the_same_name_and_trace(world: Any) -> None:
    """A reconciler's write must not lose on whose behalf, and in which trace, the job runs."""
    store = world.store("scheduler")
    span = trace.NonRecordingSpan(trace.SpanContext(7, 9, is_remote=True, trace_flags=trace.TraceFlags(1)))
    with trace.use_span(span):
        first = await created(store)

    done = await store.commit(Update(first, a_job(trace_id="x")))

    second = done.held[0]
    assert (second.version, second.uid, second.etag) == (2, first.uid, f"{first.uid}-2")
    assert (second.principal, second.request_id) == (ANNA.principal, "")
    assert second.traceparent == first.traceparent == f"00-{7:032x}-{9:016x}-01"
    assert second.update_time > first.update_time
    assert await store.get(JOBS, "jobs/a") == second


async def test_a_name_is_given_once(world: Any) -> None:
    """Two users who choose one name must not share a job."""
    store = world.store("scheduler")
    await created(store)

    with pytest.raises(Conflict) as refused:
        await created(store)

    assert (refused.value.code, refused.value.reason) == ("ABORTED", "CONFLICT")
    assert (refused.value.facts["name"], refused.value.facts["expected"]) == ("jobs/a", "absent")


async def test_a_stale_update_changes_nothing_at_all(world: Any) -> None:
    """A commit of many is all or none: a gang must never be half placed."""
    store = world.store("scheduler")
    stale = await created(store)
    current = (await store.commit(Update(stale, a_job(trace_id="1")))).held[0]

    with pytest.raises(Conflict) as refused:
        await store.commit(
            Create(PLACEMENTS, "placements/p", Placement(name="placements/p")), Update(stale, a_job(trace_id="2"))
        )

    assert refused.value.keys == (JOBS.key("jobs/a"),)
    assert await store.get(JOBS, "jobs/a") == current
    assert await store.get(PLACEMENTS, "placements/p") is None


async def test_a_guard_holds_what_is_read_but_not_written(world: Any) -> None:
    """A decision over a site must not stand when the site changed while it was made."""
    registry, store = world.store("registry"), world.store("scheduler")
    site = (await registry.commit(Create(SITES, "sites/a", Site(name="sites/a")))).held[0]
    await store.commit(Create(JOBS, "jobs/a", a_job()), guards=[site, Unchanged(SITES.key("sites/b"), 0)])
    await registry.commit(Update(site, Site(name="sites/a", display_name="moved")))

    with pytest.raises(Conflict) as refused:
        await store.commit(Create(JOBS, "jobs/b", a_job("jobs/b")), guards=[site])
    with pytest.raises(Conflict) as absent:
        await store.commit(
            Create(JOBS, "jobs/b", a_job("jobs/b")), guards=[Unchanged(hold_key("p", "accounting", 0), 5)]
        )

    assert refused.value.facts["name"] == "sites/a"
    assert (absent.value.facts["name"], absent.value.facts["found"]) == ("/suanmesh/holds/p/accounting/0", "absent")
    assert await store.get(JOBS, "jobs/b") is None


async def test_a_recreated_document_has_another_etag(world: Any) -> None:
    """Whoever read the old one must not overwrite the new one by its etag."""
    store = world.store("scheduler")
    first = await created(store)
    await store.commit(Delete(first))
    assert await store.get(JOBS, "jobs/a") is None

    second = await created(store)

    assert second.version == first.version == 1
    assert second.etag != first.etag
    with pytest.raises(Conflict):
        await store.commit(Delete(first))


async def test_a_document_that_is_too_large_is_refused(world: Any) -> None:
    """One huge job must not slow down every reader of the collection."""
    store = world.store("scheduler")

    with pytest.raises(InvalidArgument) as refused:
        await store.commit(Create(JOBS, "jobs/a", a_job(account="x" * 9000)))

    assert refused.value.reason == "DOCUMENT_TOO_LARGE"
    assert (refused.value.facts["name"], refused.value.facts["limit_bytes"]) == ("jobs/a", "8192")
    assert await store.get(JOBS, "jobs/a") is None


async def test_nobody_writes_another_areas_documents(world: Any) -> None:
    """Two writers of one prefix would undo each other; it is a defect and must show as one."""
    with pytest.raises(ValueError, match="belongs to registry"):
        await world.store("scheduler").commit(Create(SITES, "sites/a", Site(name="sites/a")))


async def test_a_repeated_request_has_one_effect_and_one_answer(world: Any) -> None:
    """A user whose connection broke must be able to submit again without a second job."""
    store = world.store("scheduler")
    await store.commit(Create(JOBS, "jobs/a", a_job()), remember=an_idempotency_record(a_job()), author=ANNA)

    with pytest.raises(AlreadyAnswered) as again:
        await store.commit(
            Create(JOBS, "jobs/b", a_job("jobs/b")), remember=an_idempotency_record(a_job("jobs/b")), author=ANNA
        )

    assert Job.FromString(again.value.answer) == a_job()
    assert await store.get(JOBS, "jobs/b") is None
    kept = await store.lookup(SUBMIT)
    assert kept is not None
    record = kept.record
    assert (record.method, record.answer_kind) == (SUBMIT.method, "suanmesh.scheduler.v1.Job")
    assert record.body_digest == hashlib.sha256(b"body").digest()
    assert await store.lookup(IdempotencyKey("spiffe://demo/party/lab/user/ben", "r-1", SUBMIT.method)) is None


async def test_a_request_that_failed_is_not_remembered(world: Any) -> None:
    """A user who repeats a refused request must have it tried, not be told it was done."""
    store = world.store("scheduler")
    await created(store)

    with pytest.raises(Conflict):
        await store.commit(Create(JOBS, "jobs/a", a_job()), remember=an_idempotency_record(a_job()), author=ANNA)

    assert await store.lookup(SUBMIT) is None


async def test_a_snapshot_is_sorted_and_of_one_collection(world: Any) -> None:
    """A page of a list must be cut at the same place by everybody."""
    store = world.store("scheduler")
    for name in ("jobs/b", "jobs/a", "jobs/ab"):
        await created(store, name)
    await store.commit(Create(PLACEMENTS, "placements/a", Placement(name="placements/a")))

    everything = await store.snapshot(JOBS)
    some = await store.snapshot(JOBS, under="jobs/a")

    assert [held.name for held in everything.held] == ["jobs/a", "jobs/ab", "jobs/b"]
    assert [held.name for held in some.held] == ["jobs/a", "jobs/ab"]
    assert everything.revision >= max(held.mod_revision for held in everything.held)


async def test_a_scan_reads_pages_and_only_as_far_as_it_is_asked(world: Any) -> None:
    """A list of a hundred thousand must neither be held in memory whole for one page nor end before its end."""
    store = world.store("scheduler")
    names = [f"jobs/{i:04}" for i in range(2 * SCAN_PAGE + 3)]
    await store.bulk_put(JOBS, ((name, a_job(name)) for name in names))
    await store.commit(Create(PLACEMENTS, "placements/a", Placement(name="placements/a")))

    async def scanned(**bounds: Any) -> list[str]:
        return [held.name async for held in store.scan(JOBS, **bounds)]

    assert await scanned() == names
    assert await scanned(after=names[1], limit=SCAN_PAGE + 2) == names[2 : SCAN_PAGE + 4]
    assert await scanned(under="jobs/000", after="jobs/0006") == names[7:10]
    assert await scanned(after=names[-1]) == await scanned(under="jobs/x") == []


async def test_a_bulk_write_stands_whole(world: Any) -> None:
    """An operator who loads a region's pools must find every one of them."""
    store = world.store("scheduler")

    count = await store.bulk_put(JOBS, ((f"jobs/{i:04}", a_job(f"jobs/{i:04}")) for i in range(1000)), author=ANNA)

    snapshot = await store.snapshot(JOBS)
    assert count == len(snapshot.held) == 1000
    assert len({held.uid for held in snapshot.held}) == 1000
    assert {held.principal for held in snapshot.held} == {ANNA.principal}


async def test_a_bulk_write_replaces_nothing(world: Any) -> None:
    """Loading again must not silently undo what happened to a document since."""
    store = world.store("scheduler")
    standing = await created(store, "jobs/0007")

    with pytest.raises(Conflict) as refused:
        await store.bulk_put(JOBS, ((f"jobs/{i:04}", a_job(f"jobs/{i:04}")) for i in range(10)))

    assert refused.value.facts["name"] == "jobs/0007"
    assert await store.get(JOBS, "jobs/0007") == standing
