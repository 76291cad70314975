"""One candidate of a decision, told as it was decided or reckoned anew from what stands now."""

from __future__ import annotations

from suanmesh.scheduler.v1 import decision_pb2, job_pb2
from suanmesh_kernel.reasons import StateReason
from suanmesh_kernel.refusals import NotFound
from suanmesh_scheduler import wire
from suanmesh_scheduler.domain.decide import weigh
from suanmesh_scheduler.sharing import found
from suanmesh_scheduler.snapshot import SnapshotReader
from suanmesh_sdk.state_reasons import reason_to

Explanation = decision_pb2.CandidateExplanation


class Explaining:
    """Answers for single candidates. A decision lists few of them, and what it was made from is not kept."""

    def __init__(self, snapshots: SnapshotReader) -> None:
        self._snapshots = snapshots

    async def explain(self, decision: decision_pb2.Decision, job: job_pb2.Job, pool: str) -> Explanation:
        """The candidate that a pool was or would be. Raises NotFound (`POOL_UNKNOWN`), and what other areas refuse."""
        for listed in decision.candidates:
            if listed.pool == pool:
                basis = Explanation.BASIS_DECISION
                return Explanation(decision=decision.name, candidate=listed, basis=basis, read=decision.read)
        snapshot = await self._snapshots.read([job])
        turn = found(snapshot.turns[0])
        for one in turn.situation.pools:
            if one.name == pool:
                return Explanation(
                    decision=decision.name,
                    candidate=wire.candidate_to(weigh(turn.job, one, turn.situation)),
                    basis=Explanation.BASIS_NOW,
                    reason=reason_to(_since(decision.read, snapshot.revisions)),
                    read=snapshot.revisions,
                )
        raise NotFound("POOL_UNKNOWN", f"there is no pool {pool}", name=pool)


def _since(before: decision_pb2.Revisions, now: decision_pb2.Revisions) -> StateReason:
    """Whether the documents that a decision read stand as it read them."""
    if before == now:
        return StateReason("REVISIONS_STAND")
    facts = {
        "registry_before": before.registry,
        "registry_now": now.registry,
        "scheduler_before": before.scheduler,
        "scheduler_now": now.scheduler,
        "network_before": before.network_orchestrator,
        "network_now": now.network_orchestrator,
    }
    return StateReason("REVISIONS_PAST", {name: str(revision) for name, revision in facts.items()})
