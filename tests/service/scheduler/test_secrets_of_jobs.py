"""Secrets come sealed with a job, are kept apart from it, and go to the site that runs it and to no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from suanmesh.scheduler.v1 import job_pb2, placement_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel.refusals import FailedPrecondition, NotFound, Refusal
from suanmesh_scheduler.record_kinds import SECRETS
from suanmesh_sdk import sealing
from suanmesh_sdk.status import refusal_of

Job, Placement = job_pb2.Job, placement_pb2.Placement
JobOf = Callable[..., job_pb2.Job]
VALUES = {"TOKEN": b"hf_0123456789", "key": b"\x00\xff binary"}


@pytest.fixture
def named(job_of: JobOf) -> job_pb2.Job:
    job = job_of(allow_sites=["sites/near"])
    job.secrets.add(name="TOKEN", variable="TOKEN")
    job.secrets.add(name="key")
    return job


async def submitted(
    scheduler: Any, job: job_pb2.Job, values: Mapping[str, bytes], job_id: str = "j", sealed_for: str = ""
) -> job_pb2.Job:
    """Submit with those secrets. Raises what refuses it."""
    secrets = await sealing.sealed_for_job(scheduler.user, f"jobs/{sealed_for or job_id}", values)
    request = pb.SubmitJobsRequest(items=[pb.SubmitJob(job_id=job_id, job=job, secrets=secrets)])
    result = (await scheduler.user.scheduler.SubmitJobs(request)).results[0]
    if result.HasField("error"):
        raise refusal_of(result.error)
    return result.job


async def fetched(scheduler: Any, placement: placement_pb2.Placement, site: str) -> dict[str, bytes]:
    """What the agent of a site makes of the secrets of a placement."""
    key = sealing.new_key()
    request = pb.FetchSecretsRequest(placement=placement.name, public_key=sealing.public_half(key))
    answer = await scheduler.agent(site).scheduler.FetchSecrets(request)
    purpose = {each.name: sealing.for_placement(placement.name, f"sites/{site}", each.name) for each in answer.secrets}
    return {each.name: sealing.opened(each.sealed, key, purpose[each.name]) for each in answer.secrets}


async def test_the_site_that_runs_a_job_has_its_secrets_while_it_runs(scheduler: Any, named: job_pb2.Job) -> None:
    """Earlier there is nobody to have them; later whoever takes the site over would find them."""
    job = await submitted(scheduler, named, VALUES)
    placement = await scheduler.placed()
    assert await fetched(scheduler, placement, "near") == VALUES
    assert list(placement.work.secrets) == list(job.secrets)
    await scheduler.report_all_the_way(placement)
    await scheduler.until_job(Job.STATE_DONE)
    with pytest.raises(FailedPrecondition) as gone:
        await fetched(scheduler, placement, "near")
    assert gone.value.reason == "SECRETS_MISSING"
    assert not await scheduler.records.get_many(SECRETS, ["jobs/j"]), "they are not kept longer than they are of use"


async def test_another_site_cannot_have_them(scheduler: Any, named: job_pb2.Job) -> None:
    """Every owner of a site could read the tokens of everybody who ever submitted a job."""
    await submitted(scheduler, named, VALUES)
    placement = await scheduler.placed()
    with pytest.raises(NotFound) as stranger:
        await fetched(scheduler, placement, "data")
    assert stranger.value.reason == "PLACEMENT_UNKNOWN"

    key = sealing.new_key()
    request = pb.FetchSecretsRequest(placement=placement.name, public_key=sealing.public_half(key))
    heard = (await scheduler.agent("near").scheduler.FetchSecrets(request)).secrets[0]
    for opener, purpose in (
        (sealing.new_key(), sealing.for_placement(placement.name, "sites/near", heard.name)),
        (key, sealing.for_placement(placement.name, "sites/data", heard.name)),
    ):
        with pytest.raises(sealing.Unreadable):
            sealing.opened(heard.sealed, opener, purpose)


async def test_no_answer_about_a_job_has_more_than_their_names(scheduler: Any, named: job_pb2.Job) -> None:
    """A job is listed, shown, compared and kept for good."""
    await submitted(scheduler, named, VALUES)
    placement = await scheduler.placed()
    told = [await scheduler.job(), await scheduler.decision(), placement, *await scheduler.jobs_kept()]
    texts = [each.SerializeToString() for each in told]
    [kept] = (await scheduler.records.get_many(SECRETS, ["jobs/j"])).values()
    texts.append(kept.message.SerializeToString())
    for value in VALUES.values():
        assert not [text for text in texts if value in text]
    sealed = [each.sealed for each in kept.message.secrets]
    assert not [text for text in texts[:-1] if any(each in text for each in sealed)]


@pytest.mark.parametrize(
    ("values", "sealed_for", "reason"),
    [
        ({"TOKEN": b"x"}, "", "SECRETS_MISSING"),
        ({}, "", "SECRETS_MISSING"),
        ({**VALUES, "more": b"x"}, "", "FIELD_INVALID"),
        (VALUES, "another", "SECRET_UNREADABLE"),
        ({**VALUES, "TOKEN": b"\xff"}, "", "FIELD_INVALID"),
        ({**VALUES, "key": bytes(sealing.VALUES_BYTES_MAX)}, "", "FIELD_INVALID"),
    ],
)
async def test_a_job_whose_secrets_are_not_there_is_refused_at_once(
    scheduler: Any, named: job_pb2.Job, values: Mapping[str, bytes], sealed_for: str, reason: str
) -> None:
    """It would wait, be placed, be paid for, and fail where its task looks for its token."""
    with pytest.raises(Refusal) as refused:
        await submitted(scheduler, named, values, sealed_for=sealed_for)
    assert refused.value.reason == reason
    assert not await scheduler.jobs_kept()


@pytest.mark.parametrize(
    ("name", "variable"), [("../x", ""), ("", ""), ("a b", ""), ("T", "SUANMESH_X"), ("T", "1X"), ("T", "MODEL")]
)
async def test_names_that_no_task_could_find_are_refused(
    scheduler: Any, job_of: JobOf, name: str, variable: str
) -> None:
    """A file named `../x` would lie where the task, or the site, keeps something else."""
    job = job_of()
    job.environment["MODEL"] = "small"
    job.secrets.add(name=name, variable=variable)
    with pytest.raises(Refusal) as refused:
        await submitted(scheduler, job, {name: b"x"} if name else {})
    assert (refused.value.reason, refused.value.facts["field"][:10]) == ("FIELD_INVALID", "secrets[0]")


async def test_whether_a_job_would_fit_is_told_without_its_secrets(scheduler: Any, named: job_pb2.Job) -> None:
    """A dry run is no reason to hand them out."""
    answer = await scheduler.submit_raw(named, validate_only=True)
    assert answer.results[0].HasField("decision")
