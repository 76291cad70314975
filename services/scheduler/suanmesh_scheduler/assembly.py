"""What the leader has besides what any instance of the scheduler has."""

from __future__ import annotations

from suanmesh_chassis import FailureBackoff, ServiceContext
from suanmesh_chassis.archiving import Archiver
from suanmesh_scheduler.archiving import Archiving
from suanmesh_scheduler.cancelling import Cancelling
from suanmesh_scheduler.circuits import Circuits
from suanmesh_scheduler.delivery import Delivery
from suanmesh_scheduler.explaining import Explaining
from suanmesh_scheduler.jobs import Jobs
from suanmesh_scheduler.lifecycle import Lifecycle
from suanmesh_scheduler.mirrors import Mirrors
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.reconciler import Reconciler
from suanmesh_scheduler.record_kinds import ENDED_PLACEMENTS
from suanmesh_scheduler.reporting import Reporting
from suanmesh_scheduler.rounds import Rounds
from suanmesh_scheduler.secrets import Secrets
from suanmesh_scheduler.service import SchedulerService
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_scheduler.snapshot import SnapshotReader
from suanmesh_scheduler.submitting import Submitting
from suanmesh_scheduler.transitions import Transitions
from suanmesh_store.archive import Archive


def lead(
    context: ServiceContext[SchedulerSettings],
    mirrors: Mirrors,
    peers: Peers,
    jobs: Jobs,
    archive: Archive,
    secrets: Secrets,
) -> tuple[SchedulerService, Reconciler, Archiving]:
    """What takes jobs, and what brings them to their ends, for as long as the term lasts."""
    store, clock, rng, settings = context.store, context.clock, context.rng, context.settings
    snapshots = SnapshotReader(mirrors, peers, clock, circuits := Circuits(clock))
    rounds = Rounds(store, mirrors, snapshots, peers, jobs, clock, rng, settings)
    delivery = Delivery(store, peers, settings.round_lease_s)
    lifecycle = Lifecycle(store, jobs, peers, mirrors, clock, settings, delivery)
    transitions = Transitions(store, mirrors)
    backoff, turns = FailureBackoff("settle job", clock), FailureBackoff("settle jobs together", clock)
    reconciler = Reconciler(jobs, mirrors, rounds, lifecycle, transitions, circuits, clock, settings, backoff, turns)
    reporting = Reporting(store, jobs, mirrors, lifecycle, transitions, archive, clock)
    archiver = Archiver(ENDED_PLACEMENTS, store, archive, clock)
    archiving = Archiving(store, mirrors, archiver, clock, settings)
    submitting = Submitting(store, jobs, mirrors, rounds, peers, clock, rng, settings, secrets)
    cancelling = Cancelling(jobs, mirrors.attempts, clock, settings)
    service = SchedulerService(
        store, mirrors, submitting, cancelling, reporting, Explaining(snapshots), peers, jobs, archive, secrets
    )
    return service, reconciler, archiving
