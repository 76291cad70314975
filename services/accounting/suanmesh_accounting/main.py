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
from suanmesh_chassis import FailureBackoff, Parts, Served, ServiceContext, led, run
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_store import Holds, open_mirror
from suanmesh_store.layout import SITES


def main() -> None:
    """Run accounting until it is told to stop."""
    run("accounting", AccountingSettings, led(build))


async def build(context: ServiceContext[AccountingSettings]) -> Parts:
    """Put accounting together."""
    settings = context.settings
    ledger = open_ledger(settings.database or f"sqlite:///{context.data_dir / 'ledger.sqlite'}")
    context.closing.push_async_callback(ledger.close)
    name = sortable_id(context.clock.now(), context.rng)
    marks = LedgerMarks(context.store, context.clock)
    await take_lead(ledger, marks, node=context.node, name=name, lead_with=settings.lead_with)
    sites = await open_mirror(context.store, SITES)
    mesh, tokens = EtcdMesh(context.store, sites), Holds(context.store)
    backoff = FailureBackoff("settle hold", context.clock)
    metering = Metering(ledger, mesh, context.clock, settings.room())
    context.closing.callback(metering.close)
    reconciler = HoldReconciler(ledger, mesh, tokens, context.clock, settings, backoff, metering)
    holding = Holding(ledger, tokens, context.clock)
    service = AccountingService(ledger, holding, metering, context.clock, context.rng, settings)
    return Parts(
        servicers=[Served(accounting_service_pb2.DESCRIPTOR.services_by_name["AccountingService"], service)],
        tasks=[reconciler.run, sites.run],
        requests=service,
        components={"ledger": lambda: ledger.fault},
    )
