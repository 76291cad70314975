"""The process: `suanmesh-scheduler`."""

from __future__ import annotations

from functools import partial

from suanmesh.scheduler.v1 import scheduler_service_pb2
from suanmesh_chassis import Parts, Served, ServiceContext, run
from suanmesh_chassis.records import lead_with, records_of
from suanmesh_scheduler.assembly import lead
from suanmesh_scheduler.jobs import Jobs
from suanmesh_scheduler.mirrors import open_mirrors
from suanmesh_scheduler.peers import MeshPeers
from suanmesh_scheduler.ports import Peers
from suanmesh_scheduler.reads import SchedulerReads
from suanmesh_scheduler.record_kinds import KINDS
from suanmesh_scheduler.secrets import open_secrets
from suanmesh_scheduler.settings import SchedulerSettings
from suanmesh_store.archive import Archive

SERVICE = scheduler_service_pb2.DESCRIPTOR.services_by_name["SchedulerService"]


def main() -> None:
    """Run the scheduler until it is told to stop."""
    run("scheduler", SchedulerSettings, build)


async def build(context: ServiceContext[SchedulerSettings], peers: Peers | None = None) -> Parts:
    """What any instance has, and its terms; the other areas are called over the mesh unless others are given."""
    records = records_of(context, context.settings.database, KINDS)
    mirrors = await open_mirrors(context.store, records)
    asked = peers or MeshPeers(context.mesh, context.clock, context.rng)
    jobs = Jobs(records, mirrors.jobs)
    secrets = open_secrets(context.settings.sealing_keys, context.data_dir, context.clock)
    reads = SchedulerReads(context.store, mirrors, asked, jobs, Archive(records), secrets)

    async def term(led: ServiceContext[SchedulerSettings]) -> Parts:
        called = peers or MeshPeers(led.mesh, led.clock, led.rng)
        fence, archive, marks = await lead_with(records, led, KINDS, instead=led.settings.lead_with)
        await mirrors.jobs.catch_up()
        service, reconciler, archiving = lead(led, mirrors, called, jobs.led_by(fence), archive, secrets)
        shown = [partial(mirrors.job_counts.readings, led.clock)]
        return Parts([Served(SERVICE, service)], [reconciler.run, archiving.run, marks.run], jobs, readings=shown)

    return Parts([Served(SERVICE, reads)], mirrors.runs, components=records.components, term=term)
