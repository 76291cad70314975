"""Jobs, records from their submission on: any instance reads them, the leader writes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from typing import Any

from suanmesh.scheduler.v1 import decision_pb2, job_pb2, secret_pb2
from suanmesh_kernel.refusals import Refusal
from suanmesh_scheduler.domain.job_pages import Part
from suanmesh_scheduler.record_kinds import BY_PARTY, BY_PLACE, DECISIONS, ENDS, JOBS, LIVE, SECRETS
from suanmesh_store import Answered, Author, IdempotencyKey, IdempotencyRecord
from suanmesh_store.records import ABSENT, Put, Record, RecordMirror, Records, Remove, Write, written

Job = Record[job_pb2.Job]
Change = tuple[Job, job_pb2.Job]
"""A job as it was read, and as it is to be written."""


class Jobs:
    """Jobs of this node. Every method may raise what `Records` says."""

    def __init__(self, records: Records, live: RecordMirror[job_pb2.Job], fence: int = 0) -> None:
        """`live` shows those that have not ended; `fence` is the term that writes."""
        self._records = records
        self._fence = fence
        self.live = live

    def led_by(self, fence: int) -> Jobs:
        """The same, written by another term."""
        other = copy(self)
        other._fence = fence
        return other

    async def lookup(self, key: IdempotencyKey) -> Answered | None:
        """What was answered to a request before."""
        return await self._records.lookup(key)

    async def get(self, name: str) -> Job | None:
        """One of them, as it is now."""
        return (await self.get_many([name])).get(name)

    async def get_many(self, names: Collection[str]) -> dict[str, Job]:
        """Those of the names that there are, as they are now."""
        return await self._records.get_many(JOBS, names)

    async def page(self, part: Part, *, after: str, most: int) -> list[Job]:
        """The next jobs of a part, the newest first."""
        own = LIVE if part.live else BY_PARTY
        index, equals = (own, (part.party,)) if part.party else (BY_PLACE, ())
        return await self._records.page(JOBS, index.name, equals, after=(after,) if after else (), limit=most)

    async def decision(self, name: str) -> decision_pb2.Decision | None:
        """One decision."""
        return (await self.decisions([name])).get(name)

    async def decisions(self, names: Collection[str]) -> dict[str, decision_pb2.Decision]:
        """Those of the names that there are."""
        found = await self._records.get_many(DECISIONS, names)
        return {name: record.message for name, record in found.items()}

    async def submit(
        self,
        jobs: Sequence[job_pb2.Job],
        remember: IdempotencyRecord,
        author: Author,
        secrets: Mapping[str, secret_pb2.JobSecrets],
    ) -> None:
        """Keep new jobs, and by job the secrets of those that have any, with the answer to their request, all or none.

        Raises Conflict with names, AlreadyAnswered.
        """
        made: list[Put[Any]] = [Put(JOBS, job.name, job, ABSENT) for job in jobs]
        made += [Put(SECRETS, job.name, secrets[job.name]) for job in jobs if job.name in secrets]
        [outcome] = await self._records.apply([Write(made, remember, author)], fence=self._fence)
        written(outcome)

    async def secrets(self, name: str) -> secret_pb2.JobSecrets:
        """The sealed secrets of a job; none where it has none, or has ended."""
        found = (await self._records.get_many(SECRETS, [name])).get(name)
        return secret_pb2.JobSecrets() if found is None else found.message

    async def keep_decisions(self, decisions: Sequence[decision_pb2.Decision]) -> None:
        """Keep decisions before what follows from them is committed."""
        if decisions:
            kept = [Put(DECISIONS, decision.name, decision) for decision in decisions]
            [outcome] = await self._records.apply([Write(kept)], fence=self._fence)
            written(outcome)

    async def put(
        self, changes: Mapping[str, Change], decisions: Mapping[str, decision_pb2.Decision] | None = None
    ) -> dict[str, Refusal]:
        """Write jobs, each over what was read and with a decision of it where there is one; by job what refused it."""
        made = decisions or {}
        writes = [
            Write([*_put(change), *_kept(made.get(name))], traceparent=change[0].traceparent)
            for name, change in changes.items()
        ]
        outcomes = await self._records.apply(writes, fence=self._fence) if writes else ()
        return {name: outcome for name, outcome in zip(changes, outcomes, strict=True) if isinstance(outcome, Refusal)}

    async def put_one(self, job: Job, changed: job_pb2.Job, author: Author | None = None) -> Job:
        """Write one job over what was read. Raises Conflict."""
        write = Write(_put((job, changed)), author=author, traceparent=job.traceparent)
        [outcome] = await self._records.apply([write], fence=self._fence)
        record: Job = written(outcome).records[0]
        return record


def shown(job: Job) -> job_pb2.Job:
    """A job as users see it."""
    message = job.draft()
    message.etag = job.etag
    return message


def _put(change: Change) -> list[Put[Any] | Remove]:
    """The job over what was read; with its end its secrets are gone."""
    job, changed = change
    ended = bool(changed.secrets) and changed.state in ENDS
    return [Put(JOBS, job.name, changed, job.etag), *([Remove(SECRETS, job.name)] if ended else ())]


def _kept(decision: decision_pb2.Decision | None) -> list[Put[decision_pb2.Decision]]:
    return [] if decision is None else [Put(DECISIONS, decision.name, decision)]
