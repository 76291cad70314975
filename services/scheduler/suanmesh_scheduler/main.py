"""The process: `suanmesh-scheduler`."""

from __future__ import annotations

from functools import partial

from suanmesh.scheduler.v1 import scheduler_service_pb2
from suanmesh_chassis import House, Parts, Served, run
from suanmesh_scheduler.archive import Archive
from suanmesh_scheduler.areas import MeshAreas
from suanmesh_scheduler.following import Following
from suanmesh_scheduler.gathering import Gathering, Mirrors
from suanmesh_scheduler.placing import Placing
from suanmesh_scheduler.reconciler import Reconciler
from suanmesh_scheduler.reporting import Reporting
from suanmesh_scheduler.service import SchedulerService
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_store import open_mirror
from suanmesh_store.layout import JOBS, PLACEMENTS, POOLS, SITE_BOOKINGS, SITES, TRANSFERS


def main() -> None:
    """Run the scheduler until it is told to stop."""
    run("scheduler", SchedulerSettings, build)


async def build(house: House[SchedulerSettings]) -> Parts:
    """Put the scheduler together."""
    store, clock, rng, settings = house.store, house.clock, house.rng, house.settings
    jobs, placements = await open_mirror(store, JOBS), await open_mirror(store, PLACEMENTS)
    pools, sites = await open_mirror(store, POOLS), await open_mirror(store, SITES)
    bookings, transfers = await open_mirror(store, SITE_BOOKINGS), await open_mirror(store, TRANSFERS)
    areas = MeshAreas(house.mesh, clock, rng)
    archive = Archive(f"sqlite:///{house.data_dir / 'archive.sqlite'}")
    gathering = Gathering(Mirrors(pools, sites, bookings), areas, clock)
    fence = house.leadership.fence if house.leadership else 0
    placing = Placing(store, gathering, areas, archive, clock, rng, settings.round_lease_s, fence)
    following = Following(store, areas, sites, transfers, clock, settings.accept_s_max)
    reconciler = Reconciler(store, jobs, placements, placing, following, archive, clock, settings)
    reporting = Reporting(store, clock)
    service = SchedulerService(store, jobs, placements, sites, placing, reporting, areas, archive, clock, rng)
    descriptor = scheduler_service_pb2.DESCRIPTOR.services_by_name["SchedulerService"]
    mirrors = (jobs, placements, pools, sites, bookings, transfers)
    return Parts(
        servicers=[Served(descriptor, service)],
        tasks=[*(mirror.run for mirror in mirrors), partial(reconciler.run, transfers.changes)],
        requests=store,
        closing=[archive.close],
    )
