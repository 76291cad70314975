"""The process: `suanmesh-accounting`."""

from __future__ import annotations

from functools import partial

from suanmesh_accounting.assembly import SERVICE, lead
from suanmesh_accounting.etcd import LedgerMarks
from suanmesh_accounting.leading import LedgerThatLeads
from suanmesh_accounting.ledger import open_ledger
from suanmesh_accounting.reads import AccountingReads
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_chassis import Parts, Served, ServiceContext, run
from suanmesh_store import open_mirror
from suanmesh_store.layout import SITES


def main() -> None:
    """Run accounting until it is told to stop."""
    run("accounting", AccountingSettings, build)


async def build(context: ServiceContext[AccountingSettings]) -> Parts:
    """Join what any instance has, and what its leader has besides."""
    settings, clock = context.settings, context.clock
    ledger = open_ledger(settings.database or f"sqlite:///{context.data_dir / 'ledger.sqlite'}")
    context.closing.push_async_callback(ledger.close)
    sites = await open_mirror(context.store, SITES)
    that_leads = LedgerThatLeads(ledger, LedgerMarks(context.store, clock), context.node, clock)
    served = Served(SERVICE, AccountingReads(that_leads, clock, settings))
    components = {"ledger": lambda: ledger.fault}
    return Parts([served], [sites.run], components=components, term=partial(lead, ledger, sites))
