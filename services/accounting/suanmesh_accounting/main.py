"""The process: `suanmesh-accounting`."""

from __future__ import annotations

from suanmesh.accounting.v1 import accounting_service_pb2
from suanmesh_accounting.etcd import EtcdMesh, LedgerMarks
from suanmesh_accounting.holding import Holding
from suanmesh_accounting.leading import take_lead
from suanmesh_accounting.ledger import open_ledger
from suanmesh_accounting.metering import Metering
from suanmesh_accounting.reconciler import HoldReconciler
from suanmesh_accounting.service import AccountingService
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_chassis import Guard, House, Parts, Served, led, run
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_store import Holds, open_mirror
from suanmesh_store.layout import SITES


def main() -> None:
    """Run accounting until it is told to stop."""
    run("accounting", AccountingSettings, led(build))


async def build(house: House[AccountingSettings]) -> Parts:
    """Put accounting together."""
    settings = house.settings
    ledger = open_ledger(settings.database or f"sqlite:///{house.data_dir / 'ledger.sqlite'}")
    house.closing.push_async_callback(ledger.close)
    name = sortable_id(house.clock.now(), house.rng)
    marks = LedgerMarks(house.store, house.clock)
    await take_lead(ledger, marks, node=house.node, name=name, lead_with=settings.lead_with)
    sites = await open_mirror(house.store, SITES)
    mesh, tokens = EtcdMesh(house.store, sites), Holds(house.store)
    guard = Guard("settle hold", house.clock)
    reconciler = HoldReconciler(ledger, mesh, tokens, house.clock, settings, guard)
    holding = Holding(ledger, tokens, house.clock)
    metering = Metering(ledger, mesh, house.clock, reconciler.nudge, settings.room())
    service = AccountingService(ledger, holding, metering, house.clock, house.rng, settings)
    descriptor = accounting_service_pb2.DESCRIPTOR.services_by_name["AccountingService"]
    return Parts(
        servicers=[Served(descriptor, service)],
        tasks=[reconciler.run, sites.run],
        requests=service,
        components={"ledger": lambda: ledger.trouble},
    )
