"""What the leader of accounting has besides what any instance has."""

from __future__ import annotations

from suanmesh.accounting.v1 import accounting_service_pb2
from suanmesh.registry.v1.site_pb2 import Site
from suanmesh_accounting.books import Books
from suanmesh_accounting.etcd import EtcdMesh, LedgerMarks
from suanmesh_accounting.holding import Holding
from suanmesh_accounting.leading import take_lead
from suanmesh_accounting.metering import Metering
from suanmesh_accounting.ports import Ledger
from suanmesh_accounting.reconciler import HoldReconciler
from suanmesh_accounting.service import AccountingService
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_chassis import FailureBackoff, Parts, Served, ServiceContext
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_store import Holds, Mirror

SERVICE = accounting_service_pb2.DESCRIPTOR.services_by_name["AccountingService"]


async def lead(ledger: Ledger, sites: Mirror[Site], led: ServiceContext[AccountingSettings]) -> Parts:
    """Take the lead with the ledger, and join what writes. Raises StoreRefused where it must not lead."""
    settings, clock = led.settings, led.clock
    name = sortable_id(clock.now(), led.rng)
    marks = await take_lead(
        ledger, LedgerMarks(led.store, clock), node=led.node, name=name, lead_with=settings.lead_with
    )
    mesh, tokens = EtcdMesh(led.store, sites), Holds(led.store)
    backoff = FailureBackoff("settle hold", clock)
    metering = Metering(ledger, mesh, clock, settings.room())
    led.closing.callback(metering.close)
    reconciler = HoldReconciler(ledger, mesh, tokens, clock, settings, backoff, metering)
    service = AccountingService(ledger, Holding(ledger, tokens, clock), metering, clock, led.rng, settings)
    books = Books(ledger, clock)
    watched = [books.run] if led.common.metrics_listen else []
    tasks = [reconciler.run, marks.run, *watched]
    return Parts([Served(SERVICE, service)], tasks, service, readings=[books.readings])
