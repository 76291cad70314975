"""Between the rules' values and the contract's messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime

from google.protobuf.message import Message

from suanmesh.network_orchestrator.v1 import reservation_pb2
from suanmesh.scheduler.v1 import decision_pb2, job_pb2, placement_pb2, reason_pb2
from suanmesh.scheduler.v1 import scheduler_service_pb2 as pb
from suanmesh_kernel import pages
from suanmesh_kernel.architectures import architecture_of
from suanmesh_kernel.cards import DeviceAsk
from suanmesh_kernel.filter_fields import Value
from suanmesh_kernel.quantities import total
from suanmesh_kernel.reasons import NO_REASON, StateReason
from suanmesh_scheduler.bounding import PAYLOAD_BYTES_MAX, bound_job, bound_placement
from suanmesh_scheduler.domain.bookings import Booked
from suanmesh_scheduler.domain.breaker import barred
from suanmesh_scheduler.domain.job_fields import LABELS
from suanmesh_scheduler.domain.shortlist import obstacle_counts, shortlist
from suanmesh_scheduler.domain.states import HOLDING, JobState, PlacementState, job_moved
from suanmesh_scheduler.domain.values import (
    BACKOFF_S_MAX,
    AdmittingChange,
    Ask,
    Candidate,
    JobSpec,
    Need,
    Obstacle,
    Path,
    Result,
    Variant,
    Verdict,
    told,
)
from suanmesh_scheduler.domain.waiting_queue import Precedence
from suanmesh_sdk.parameters import spelled_out
from suanmesh_sdk.state_reasons import facts_to, reason_from, reason_to
from suanmesh_sdk.values import capacity_from, capacity_to, timestamp

BANDWIDTH_BPS_MIN = 1_000_000
TASKS_SPELLED_MAX = 1000
Made = dict[int, tuple[Candidate, decision_pb2.Candidate]]
"""Messages by the identity of the candidates, which are kept beside them."""
_JOB_STATES = {job_pb2.Job.State.Value(f"STATE_{state}"): state for state in JobState}
_TASK_ENDS = (
    placement_pb2.TaskResult.STATE_DONE,
    placement_pb2.TaskResult.STATE_FAILED,
    placement_pb2.TaskResult.STATE_CANCELLED,
)
_PLACEMENT_STATES = {placement_pb2.Placement.State.Value(f"STATE_{state}"): state for state in PlacementState}
CHOSEN = "CHOSEN"
"""Why a placement was committed."""
CANDIDATES_MAX = 20
"""Candidates a decision lists; the others it counts."""


def spec_from(job: job_pb2.Job, needs: Iterable[Need], now: datetime) -> JobSpec:
    """What a decision needs to know of a job that was checked before."""
    limits = job.constraints
    set_back = job.history[-1].time.ToDatetime(UTC) if job.history else now
    return JobSpec(
        ask=ask_from(job.ask),
        account=job.account,
        count=max(1, job.task.count),
        gang=job.task.gang,
        variants=tuple(Variant(architecture_of(v.architecture), v.runtime) for v in job.package.variants),
        needs=tuple(needs),
        results=tuple(Result(output.deliver_to, output.max_bytes) for output in job.outputs if output.deliver_to),
        allow_sites=frozenset(limits.allow_sites),
        deny_sites=frozenset(limits.deny_sites),
        refused_by=barred(job.refused_by, set_back, now),
        setbacks=Counter(job.refused_by),
        residency=frozenset(limits.residency),
        max_latency_us=limits.max_latency_us,
        min_bandwidth_bps=limits.min_bandwidth_bps or BANDWIDTH_BPS_MIN,
        budget_micros=limits.budget_micros,
        deadline=deadline_of(job),
        second_value_micros=job.objective.second_value_micros,
        max_duration_s=job.max_duration_s,
        party=job.party,
        runs=1 + retry_of(job).times,
        pauses_s=pauses_s(retry_of(job)),
        setup=job.HasField("setup"),
        priority=job.priority,
    )


def likeness(job: job_pb2.Job, now: datetime) -> Hashable:
    """What jobs have in common of which one fits wherever the other does: all that a decision reads of them."""
    return spec_from(job, (), now), tuple(part.dataset for part in job.inputs), job.attempt


def keeps_going(job: job_pb2.Job) -> bool:
    """Whether a task that fails leaves the others alone."""
    return job.task.on_failure == job_pb2.TaskSpec.ON_FAILURE_KEEP_GOING


def retry_of(job: job_pb2.Job) -> job_pb2.Retry:
    """When single tasks are run again: as often as the job may be tried where they do not need each other."""
    if job.task.HasField("retry") or not keeps_going(job):
        return job.task.retry
    return job_pb2.Retry(times=max(0, job.max_attempts - 1))


def pauses_s(retry: job_pb2.Retry) -> int:
    """How long a task that is run as often as it may be waits in all."""
    return sum(min(BACKOFF_S_MAX, retry.backoff_s * 2**turn) for turn in range(retry.times))


def queue_of(job: job_pb2.Job) -> tuple[str, str]:
    """Whose jobs it waits with: its party and the queue of that."""
    return job.party, job.queue


def precedence_of(job: job_pb2.Job) -> Precedence:
    """Whether it goes before other jobs of its queue."""
    return Precedence.of(job.priority, job.create_time.ToMicroseconds(), job.name)


def filtered_from(job: job_pb2.Job) -> dict[str, Value]:
    """What a filter reads of a job; see `domain/job_fields`."""
    texts = {name: getattr(job, name) for name in ("name", "party", "account", "display_name", "placement", "queue")}
    texts["state_reason.code"] = job.state_reason.code
    texts["inputs"] = " ".join(part.dataset for part in job.inputs)
    texts |= {f"{LABELS}.{key}": value for key, value in job.labels.items()}
    times = {name: getattr(job, name).ToMicroseconds() for name in ("create_time", "end_time") if job.HasField(name)}
    numbers = {"priority": job.priority, "attempt": job.attempt, **times}
    return {name: text for name, text in texts.items() if text} | numbers | {"state": str(job_state(job))}


def ask_from(ask: job_pb2.Ask) -> Ask:
    """What one task needs."""
    devices = tuple(
        DeviceAsk(getattr(d, "class"), tuple(d.any_of_models), d.count, d.min_memory_bytes) for d in ask.devices
    )
    capability = tuple((c.quantity, c.value) for c in ask.min_capability)
    return Ask(ask.cpu_milli, ask.memory_bytes, ask.scratch_bytes, devices, capability)


def booked_from(placements: Iterable[placement_pb2.Placement]) -> list[Booked]:
    """The capacity that placements take."""
    return [
        Booked(
            p.name, leg.pool, tuple((run.host, run.tasks) for run in leg.hosts), capacity_from(leg.per_task), p.party
        )
        for p in placements
        if placement_state(p) in HOLDING
        for leg in p.legs
    ]


def path_from(path: reservation_pb2.Path) -> Path:
    """A path as the network orchestrator found it."""
    return Path(tuple(path.links), path.latency_us, path.available_bps, path.price_micros_per_mib)


def deadline_of(job: job_pb2.Job) -> datetime | None:
    """By when the job is to have ended."""
    limits = job.constraints
    return limits.deadline.ToDatetime(UTC) if limits.HasField("deadline") else None


def missed_deadline(job: job_pb2.Job, now: datetime) -> datetime | None:
    """The deadline of a job that has not ended by then; None where there is none, or it may still be kept."""
    deadline = deadline_of(job)
    return deadline if deadline is not None and deadline <= now else None


def place_of(job: job_pb2.Job) -> str:
    """Where a job stands in lists."""
    return pages.newest_first(job.create_time.ToMicroseconds(), job.name)


def decision_number(decision: str) -> int:
    """Which of its job's decisions one is, by its name; 0 for none."""
    return int(decision.rsplit("/", 1)[-1]) if decision else 0


def tells_not(job: job_pb2.Job, placement: placement_pb2.Placement) -> bool:
    """Whether the job is to follow a placement that it does not tell of: one of a later decision was committed, or its
    last was lost and delivers after all."""
    if decision_number(placement.decision) > decision_number(job.decision):
        return True
    return not job.placement and placement_state(placement) in (PlacementState.DELIVERING, PlacementState.DONE)


def tell_place(job: job_pb2.Job, placement: placement_pb2.Placement) -> None:
    """Let a job that waits tell of the place that it was given, or has again: told again it comes to the same."""
    job.placement, job.attempt = placement.name, placement.attempt
    if decision_number(placement.decision) <= decision_number(job.decision):
        return  # it was lost and delivers after all: the job goes on from where it waits
    job.decision = placement.decision
    reason = reason_from(placement.state_reason)
    given = placement.create_time.ToDatetime(UTC)
    state = job_moved(job_state(job), JobState.PLACED)
    set_job_state(job, state, reason if reason.code == CHOSEN else NO_REASON, given)


def job_state(job: job_pb2.Job) -> JobState:
    """Where a job stands."""
    return _JOB_STATES[job.state]


def placement_state(placement: placement_pb2.Placement) -> PlacementState:
    """Where a placement stands."""
    return _PLACEMENT_STATES[placement.state]


def count_tasks(results: Iterable[placement_pb2.TaskResult]) -> list[placement_pb2.TaskCount]:
    """How many of them stand where."""
    counted = Counter(result.state for result in results)
    return [placement_pb2.TaskCount(state=state, tasks=tasks) for state, tasks in sorted(counted.items())]


def tasks_ended(placement: placement_pb2.Placement) -> int:
    """How many of its tasks have ended, as far as was reported."""
    counted = sum(count.tasks for count in placement.task_counts if count.state in _TASK_ENDS)
    return counted or sum(task.HasField("end_time") for task in placement.tasks)


def has_begun(placement: placement_pb2.Placement) -> bool:
    """Whether a task of it was told to have started."""
    return any(task.HasField("start_time") for task in placement.tasks)


def queued_for(placement: placement_pb2.Placement) -> StateReason:
    """What the first of its tasks waits for in the site's own queue; nothing where none does, or one has begun."""
    queued = [task for task in placement.tasks if task.state == placement_pb2.TaskResult.STATE_QUEUED]
    if not queued or has_begun(placement):
        return NO_REASON
    return reason_from(queued[0].state_reason) or StateReason("QUEUE_SILENT")


def set_job_state(job: job_pb2.Job, state: JobState, reason: StateReason, now: datetime) -> None:
    """Write a job's new state and how it got there; an end has a time."""
    job.state = job_pb2.Job.State.Value(f"STATE_{state}")
    job.state_reason.CopyFrom(reason_to(reason))
    job.history.add(state=job.state, time=timestamp(now), reason=job.state_reason)
    if state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED):
        job.end_time.FromDatetime(now)
    bound_job(job)


def set_placement_state(
    placement: placement_pb2.Placement, state: PlacementState, reason: StateReason, now: datetime, *, ended: bool
) -> None:
    """Write a placement's new state; an end has a time."""
    placement.state = placement_pb2.Placement.State.Value(f"STATE_{state}")
    placement.state_reason.CopyFrom(reason_to(reason))
    if ended:
        placement.end_time.FromDatetime(now)
    bound_placement(placement)


def decision_to(verdict: Verdict, made: Made | None = None) -> decision_pb2.Decision:
    """A verdict as its message, with a short list of its candidates.

    `made` keeps the messages of candidates, so that equal jobs of a round share theirs.
    """
    made = {} if made is None else made
    decision = decision_pb2.Decision(
        candidates=[_once(candidate, made) for candidate in shortlist(verdict.candidates, CANDIDATES_MAX)],
        candidate_count=len(verdict.candidates),
        chosen=verdict.chosen.pool if verdict.chosen else "",
        runner_up=verdict.runner_up.pool if verdict.runner_up else "",
        reason=reason_to(verdict.reason),
    )
    for code, count in obstacle_counts(verdict.candidates):
        decision.obstacle_counts.add(code=_obstacle_code(code), count=count)
    if verdict.change is not None:
        decision.admitting_change.CopyFrom(_change_to(verdict.change))
    return decision


def _once(candidate: Candidate, made: Made) -> decision_pb2.Candidate:
    known = made.get(id(candidate))
    if known is None:
        known = made[id(candidate)] = candidate, candidate_to(candidate)
    return known[1]


def candidate_to(candidate: Candidate) -> decision_pb2.Candidate:
    """One weighed pool as its message; of several routes it shows the one with the most bytes."""
    main = max(candidate.routes, key=lambda route: (route.bytes, route.end), default=None)
    message = decision_pb2.Candidate(
        pool=candidate.pool,
        site=candidate.site,
        offer=candidate.offer,
        variant=candidate.variant,
        cost_micros=candidate.cost_micros,
        compute_micros=candidate.compute_micros,
        transfer_micros=candidate.transfer_micros,
        score_micros=candidate.score_micros,
        finish_ms=candidate.finish_ms,
        transfer_bytes=told(sum(route.bytes for route in candidate.routes)),
        transfer_ms=max((route.transfer_ms for route in candidate.routes), default=0),
        latency_us=candidate.latency_us,
    )
    if main is not None:
        message.path.extend(main.path.links)
        message.rate_bps = main.rate_bps
        message.source = main.end
    if candidate.obstacle is not None:
        message.obstacle.CopyFrom(_obstacle_to(candidate.obstacle))
    return message


def _obstacle_to(obstacle: Obstacle) -> decision_pb2.Obstacle:
    message = decision_pb2.Obstacle(
        code=_obstacle_code(obstacle.code),
        needed=obstacle.needed,
        available=obstacle.available,
        resource=obstacle.resource,
        facts=facts_to(obstacle.facts),
    )
    if obstacle.cause:
        message.cause.CopyFrom(reason_to(obstacle.cause))
    return message


def _obstacle_code(code: str) -> reason_pb2.ObstacleCode.ValueType:
    return reason_pb2.ObstacleCode.Value(f"OBSTACLE_CODE_{code}")


def _change_to(change: AdmittingChange) -> decision_pb2.AdmittingChange:
    message = decision_pb2.AdmittingChange(field=change.field, to=change.after, pool=change.pool)
    setattr(message, "from", change.before)
    return message


def same_answer(one: decision_pb2.Decision, other: decision_pb2.Decision) -> bool:
    """Whether two decisions say the same, whatever their name, time, trace and revisions.

    How far off a deadline is changes with every look, and says nothing new.
    """
    return _bare(one) == _bare(other)


def _bare(decision: decision_pb2.Decision) -> decision_pb2.Decision:
    bare = decision_pb2.Decision()
    bare.CopyFrom(decision)
    _clear(bare, "name", "read", "trace_id", "create_time")
    for candidate in bare.candidates:
        if candidate.obstacle.code == reason_pb2.OBSTACLE_CODE_DEADLINE:
            _clear(candidate.obstacle, "available")
    if bare.admitting_change.field == "constraints.deadline":
        _clear(bare.admitting_change, "to")
    return bare


def _clear(message: Message, *fields: str) -> None:
    for field in fields:
        message.ClearField(field)


def told_to_site(placement: placement_pb2.Placement) -> placement_pb2.Placement:
    """As its agent is told: what its tasks differ in task by task, where that is no more than a job once had room for.

    An agent of an earlier version reads no shorter form, and would run tasks without their values.
    """
    work = placement.work
    count = max(1, work.count)
    if count > TASKS_SPELLED_MAX or all(len(each.values) == count for each in work.parameters):
        return placement
    spelled = placement_pb2.Work(parameters=spelled_out(work.parameters, count))
    if spelled.ByteSize() > PAYLOAD_BYTES_MAX:
        return placement
    told_so = placement_pb2.Placement()
    told_so.CopyFrom(placement)
    told_so.work.ClearField("parameters")
    told_so.work.MergeFrom(spelled)
    return told_so


def site_placement_to(placement: placement_pb2.Placement) -> pb.SitePlacement:
    """What the owner of its site is told of a placement."""
    booked = booked_from([placement])
    held = total(each.per_task.times(sum(count for _, count in each.hosts)) for each in booked)
    return pb.SitePlacement(
        name=placement.name,
        job=placement.job,
        party=placement.party,
        state=placement.state,
        pool=booked[0].pool if booked else "",
        holds=capacity_to(held),
        tasks=max(1, placement.work.count),
        tasks_ended=tasks_ended(placement),
        create_time=placement.create_time,
        max_duration_s=placement.work.max_duration_s,
    )
