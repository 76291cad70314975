"""What is kept of jobs that nothing fits: the decision, unless the last one of the job says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from suanmesh.scheduler.v1 import decision_pb2, job_pb2
from suanmesh_kernel.refusals import Refusal
from suanmesh_scheduler import wire
from suanmesh_scheduler.bounding import bound_job
from suanmesh_scheduler.commits import commit_each
from suanmesh_scheduler.record_kinds import DECISIONS
from suanmesh_scheduler.sharing import each
from suanmesh_store import Change, Held, Store, Update
from suanmesh_store.archive import Archive
from suanmesh_store.records import Put


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A job that nothing fits, and what was decided."""

    job: Held[job_pb2.Job]
    decision: decision_pb2.Decision


class Decisions:
    """Keeps decisions, and says on jobs why they wait."""

    def __init__(self, store: Store, archive: Archive) -> None:
        self._store = store
        self._archive = archive

    async def keep(self, decisions: Sequence[decision_pb2.Decision]) -> None:
        """Keep decisions before what follows from them is committed."""
        if decisions:
            await self._archive.keep(*(Put(DECISIONS, decision.name, decision) for decision in decisions))

    async def keep_unplaced(self, unplaced: Sequence[Unplaced]) -> tuple[int, dict[str, Refusal]]:
        """The revision of the last write, and by job what refused it."""
        lasts = await each(self._last, (one.job.message.decision for one in unplaced if one.job.message.decision))
        refused = {
            one.job.name: last for one in unplaced if isinstance(last := lasts.get(one.job.message.decision), Refusal)
        }
        told = [one for one in unplaced if one.job.name not in refused]
        news = [one for one in told if not _says_the_same(lasts.get(one.job.message.decision), one.decision)]
        await self.keep([one.decision for one in news])
        new_names = {one.job.name: one.decision.name for one in news}
        jobs = {one.job.name: (one.job, _waiting(one, new_names.get(one.job.name, ""))) for one in told}
        parts: dict[str, list[Change]] = {
            name: [Update(held, job)] for name, (held, job) in jobs.items() if job != held.message
        }
        revision, stale = await commit_each(self._store, parts)
        return revision, refused | stale

    async def _last(self, name: str) -> decision_pb2.Decision | None:
        return await self._archive.get(DECISIONS, name)


def _says_the_same(last: decision_pb2.Decision | Refusal | None, decision: decision_pb2.Decision) -> bool:
    return isinstance(last, decision_pb2.Decision) and wire.same_answer(last, decision)


def _waiting(unplaced: Unplaced, decision: str) -> job_pb2.Job:
    job = unplaced.job.draft()
    job.state_reason.CopyFrom(unplaced.decision.reason)
    job.decision = decision or job.decision
    bound_job(job)
    return job
