"""The process: `suanmesh-scheduler`."""

from __future__ import annotations

from suanmesh.scheduler.v1 import scheduler_service_pb2
from suanmesh_chassis import Guard, House, Parts, Served, led, run
from suanmesh_scheduler.archiving import Archiving
from suanmesh_scheduler.areas import MeshAreas
from suanmesh_scheduler.cancelling import Cancelling
from suanmesh_scheduler.circuits import Circuits
from suanmesh_scheduler.delivering import Delivering
from suanmesh_scheduler.following import Following
from suanmesh_scheduler.mirrors import open_mirrors
from suanmesh_scheduler.ports import Areas
from suanmesh_scheduler.reconciler import Reconciler
from suanmesh_scheduler.reporting import Reporting
from suanmesh_scheduler.rounds import Rounds
from suanmesh_scheduler.service import SchedulerService
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_scheduler.snapshot import SnapshotReader
from suanmesh_scheduler.submitting import Submitting
from suanmesh_scheduler.unplaced import Decisions
from suanmesh_store.archive import Archive


def main() -> None:
    """Run the scheduler until it is told to stop."""
    run("scheduler", SchedulerSettings, led(build))


async def build(house: House[SchedulerSettings], areas: Areas | None = None) -> Parts:
    """Put the scheduler together; the other areas are called over the mesh unless others are given."""
    store, clock, rng, settings = house.store, house.clock, house.rng, house.settings
    mirrors, areas = await open_mirrors(store), areas or MeshAreas(house.mesh, clock, rng)
    house.closing.push_async_callback((archive := Archive(f"sqlite:///{house.data_dir / 'archive.sqlite'}")).close)
    snapshots = SnapshotReader(mirrors, areas, clock, circuits := Circuits(clock))
    rounds = Rounds(store, mirrors, snapshots, areas, Decisions(store, archive), clock, rng, settings)
    delivering = Delivering(store, areas, settings.round_lease_s)
    following = Following(store, areas, mirrors, clock, settings.accept_s_max, settings.deliver_s_max, delivering)
    reconciler = Reconciler(store, mirrors, rounds, following, circuits, clock, settings, Guard("settle job", clock))
    archiving = Archiving(store, mirrors, archive, clock, settings, Guard("archive job", clock))
    submitting = Submitting(store, mirrors, rounds, areas, archive, clock, rng, settings)
    cancelling = Cancelling(store, archive, clock, settings)
    service = SchedulerService(store, mirrors, submitting, cancelling, Reporting(store, clock), areas, archive)
    served = Served(scheduler_service_pb2.DESCRIPTOR.services_by_name["SchedulerService"], service)
    return Parts([served], [*mirrors.runs, reconciler.run, archiving.run], store, archive.look)
