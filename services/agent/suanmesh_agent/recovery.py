"""A meter whose journal was set back: what the mesh has of it, and what it has still to be told.

A journal that was restored from a copy numbers its records as others were numbered before, and remembers less of a task
than was charged for it. A new epoch begins, and each task goes on from where the mesh has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.type.v1 import money_pb2
from suanmesh_agent.domain.metering import Amounts, MeterMark, squared
from suanmesh_agent.journal import Journal
from suanmesh_agent.ports import AccountingPort

WORKS_MAX = 100
"""Placements and transfers asked about in one call."""
_TRANSFERS = "transfers/"

Key = tuple[str, int]
"""A placement and the index of its task, or a transfer and 0."""
Times = tuple[int, int]
Write = Callable[[usage_pb2.UsageRecord, Times, str], None]
"""Number and keep a record of an interval, with the trace it belongs to."""


async def charged(accounting: AccountingPort, epoch: str, works: Iterable[str]) -> dict[Key, MeterMark]:
    """Up to where the mesh has the usage of each task of `works`."""
    found: dict[Key, MeterMark] = {}
    left = iter(sorted(works))
    while batch := list(islice(left, WORKS_MAX)):
        state = await accounting.metering_state(epoch, batch)
        found |= {(work.work, work.task): _mark_of(work) for work in state.works}
    return found


async def square(journal: Journal, accounting: AccountingPort, epoch: str, write: Write) -> None:
    """Begin `epoch`, and write down in it what the mesh has not been told. One step of the journal; safe to repeat.

    What the journal knows of and has not metered may have been charged all the same.
    """
    known: dict[Key, MeterMark] = {}
    asked: set[str] = set()
    while new := _works(journal) - asked:
        known |= await charged(accounting, epoch, new)
        asked |= new
    with journal.together():
        unsent = _unsent(journal)
        journal.begin_epoch(epoch)
        for key in known.keys() - {(work, task) for work, task, _ in journal.meters()}:
            journal.set_meter(*key, known[key])
        for work, task, mark in journal.meters():
            pending = unsent.get((work, task), [])
            if work.startswith(_TRANSFERS):
                _square_transfer(pending, known.get((work, task)), write)
            else:
                _square_task(journal, (work, task), mark, pending, known.get((work, task)), write)


def _works(journal: Journal) -> set[str]:
    return {work for work, _, _ in journal.meters()} | {name for name, _, _ in journal.placements()}


def readings_of(used: Amounts) -> list[usage_pb2.MeterReading]:
    """As a record has them: those that are not zero."""
    pairs = (
        (money_pb2.METER_CPU_US, used.cpu_us),
        (money_pb2.METER_MEMORY_MIB_S, used.memory_mib_s),
        (money_pb2.METER_DEVICE_MILLI_S, used.device_milli_s),
    )
    return [usage_pb2.MeterReading(meter=meter, quantity=quantity) for meter, quantity in pairs if quantity]


_Pending = list[tuple[usage_pb2.UsageRecord, str]]


def _square_task(
    journal: Journal, key: Key, mark: MeterMark, pending: _Pending, known: MeterMark | None, write: Write
) -> None:
    begun_ns = pending[0][0].start_time.ToNanoseconds() if pending else mark.end_ns
    after, due = squared(mark, known, begun_ns)
    journal.set_meter(*key, after)
    if due is not None:
        record = usage_pb2.UsageRecord(
            placement=key[0], task=key[1], readings=readings_of(due.amounts), final=due.final
        )
        write(record, (min(due.start_ns, after.end_ns), after.end_ns), pending[0][1] if pending else "")


def _square_transfer(pending: _Pending, known: MeterMark | None, write: Write) -> None:
    """What a transfer moved is on one record, which the mesh has or has not."""
    for record, traceparent in pending:
        if known is None or not known.final:
            times = record.start_time.ToNanoseconds(), record.end_time.ToNanoseconds()
            write(record, times, traceparent)


def _unsent(journal: Journal) -> dict[Key, _Pending]:
    found: dict[Key, _Pending] = {}
    for _, raw, traceparent in journal.unsent_usage(journal.sequence):
        record = usage_pb2.UsageRecord.FromString(raw)
        found.setdefault((record.transfer or record.placement, record.task), []).append((record, traceparent))
    return found


def _mark_of(work: pb.MeteredWork) -> MeterMark:
    totals = {reading.meter: reading.quantity for reading in work.readings}
    amounts = Amounts(
        totals.get(money_pb2.METER_CPU_US, 0),
        totals.get(money_pb2.METER_MEMORY_MIB_S, 0),
        totals.get(money_pb2.METER_DEVICE_MILLI_S, 0),
    )
    return MeterMark(amounts, work.end_time.ToNanoseconds(), work.final)
