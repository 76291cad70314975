"""What Prometheus is shown of jobs: how many there are by state, for what those wait that wait, how they end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from suanmesh.scheduler.v1 import job_pb2
from suanmesh_kernel.clock import Clock
from suanmesh_scheduler.record_kinds import ENDS
from suanmesh_sdk.advice import STATE_REASONS
from suanmesh_sdk.reasons import CHINESE
from suanmesh_store.records import RecordChange, RecordMirror
from suanmesh_telemetry import names
from suanmesh_telemetry.readings import Reading

UNDECIDED = "UNDECIDED"
"""A job that has not been told yet why it waits."""
OTHER = "OTHER"
"""A code that is not ours, such as of an agent of another version: the label's values stay bounded."""
_STATES = {value: name.removeprefix("STATE_") for name, value in job_pb2.Job.State.items() if value}


@dataclass(frozen=True, slots=True)
class _Counted:
    state: job_pb2.Job.State.ValueType
    reason: str
    created_s: float


class JobCounts:
    """Counts live jobs with every change of their mirror, so that a scrape costs no more for a hundred thousand."""

    def __init__(self, live: RecordMirror[job_pb2.Job]) -> None:
        self._live = live
        self._jobs: dict[str, _Counted] = {}
        self._states: Counter[job_pb2.Job.State.ValueType] = Counter()
        self._reasons: Counter[str] = Counter()
        self._waiting: dict[str, float] = {}
        self._ended: Counter[job_pb2.Job.State.ValueType] = Counter()
        live.project(self._apply)

    def readings(self, clock: Clock) -> Iterator[Reading]:
        """As of now."""
        for state, name in _STATES.items():
            if state in ENDS:
                yield Reading(names.JOBS_ENDED, self._ended[state], (name,))
            else:
                yield Reading(names.JOBS, self._states[state], (name,))
        for reason in {UNDECIDED, *self._reasons}:
            yield Reading(names.QUEUE_JOBS, self._reasons[reason], (reason,))
        oldest = min(self._waiting.values(), default=None)
        waited_s = 0.0 if oldest is None else max(0.0, clock.now().timestamp() - oldest)
        yield Reading(names.QUEUE_OLDEST, waited_s)

    def _apply(self, changes: Sequence[RecordChange[job_pb2.Job]]) -> None:
        for name, record in changes:
            before = self._jobs.pop(name, None)
            if before is not None:
                self._leave(name, before)
            if (held := self._live.get(name)) is not None:
                self._enter(name, _counted(held.message))
            elif before is not None and record is not None and record.message.state in ENDS:
                self._ended[record.message.state] += 1

    def _enter(self, name: str, job: _Counted) -> None:
        self._jobs[name] = job
        self._states[job.state] += 1
        if job.state == job_pb2.Job.STATE_PENDING:
            self._reasons[job.reason] += 1
            self._waiting[name] = job.created_s

    def _leave(self, name: str, job: _Counted) -> None:
        self._states[job.state] -= 1
        if job.state == job_pb2.Job.STATE_PENDING:
            self._reasons[job.reason] -= 1
            del self._waiting[name]


def _counted(job: job_pb2.Job) -> _Counted:
    code = job.state_reason.code
    reason = (code if code in known_reasons() else OTHER) if code else UNDECIDED
    return _Counted(job.state, reason, job.create_time.ToMicroseconds() / 1e6)


@lru_cache(maxsize=1)
def known_reasons() -> frozenset[str]:
    """Every code that a reason of a state, or a refusal, can have."""
    return frozenset(STATE_REASONS).union(*CHINESE.values())
