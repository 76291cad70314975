"""What jobs cost at most by each price book, as accounting quotes it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting
from suanmesh.accounting.v1 import price_book_pb2, usage_pb2
from suanmesh.type.v1 import money_pb2
from suanmesh_kernel.clock import Clock
from suanmesh_scheduler.domain.values import JobSpec, Offer
from suanmesh_scheduler.ports import Peers

MEBIBYTE = 1 << 20
KEPT = timedelta(seconds=2)
"""How long quotes serve one round after the other: a fraction of the time for which they stand."""
Readings = tuple[tuple[money_pb2.Meter.ValueType, int], ...]
"""The most a job can use, by meter."""
Quotes = dict[tuple[str, Readings], price_book_pb2.Quote]
"""By price book, and what was asked for; those that there are."""


class QuoteReader:
    """Asks for what equal jobs cost once, and again when that is some time past."""

    def __init__(self, peers: Peers, clock: Clock) -> None:
        self._peers = peers
        self._clock = clock
        self._kept: Quotes = {}
        self._asked = clock.now()

    async def read(self, specs: Iterable[JobSpec], offers: Iterable[Offer], *, anew: bool) -> Quotes:
        """What the most that each job can use costs by each price book; `anew` asks for what is kept, too."""
        now = self._clock.now()
        if anew or not timedelta(0) <= now - self._asked < KEPT:
            self._kept, self._asked = {}, now
        books = sorted({offer.price_book for offer in offers})
        wanted = [(book, readings) for readings in sorted({most_readings(spec) for spec in specs}) for book in books]
        found = {key: quote for key in wanted if (quote := self._kept.get(key)) is not None and _stands(quote, now)}
        missing = [key for key in wanted if key not in found]
        if missing:
            asks = [accounting.QuoteAsk(price_book=book, readings=_meters(readings)) for book, readings in missing]
            results = await self._peers.quote(asks)
            found |= {key: r.quote for key, r in zip(missing, results, strict=True) if r.HasField("quote")}
            self._kept |= found
        return found


def most_readings(spec: JobSpec) -> Readings:
    """The most a job can use: everything it asks for, for as long as it may run, by every task.

    Money is held for this. What a site lets a task use beyond it is not charged.
    """
    seconds = spec.max_duration_s * (spec.runs * spec.count + spec.setup)
    memory_mib = -(-spec.ask.memory_bytes // MEBIBYTE)
    cards = sum(device.count for device in spec.ask.devices)
    amounts = (
        (money_pb2.METER_CPU_US, spec.ask.cpu_milli * 1000 * seconds),
        (money_pb2.METER_MEMORY_MIB_S, memory_mib * seconds),
        (money_pb2.METER_DEVICE_MILLI_S, cards * 1000 * seconds),
    )
    return tuple((meter, quantity) for meter, quantity in amounts if quantity)


def _stands(quote: price_book_pb2.Quote, now: datetime) -> bool:
    return quote.HasField("expire_time") and now < quote.expire_time.ToDatetime(UTC)


def _meters(readings: Readings) -> list[usage_pb2.MeterReading]:
    return [usage_pb2.MeterReading(meter=meter, quantity=quantity) for meter, quantity in readings]
