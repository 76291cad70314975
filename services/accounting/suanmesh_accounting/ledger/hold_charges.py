"""What the usage of one transaction does to one hold: rated line by line, taken out of the hold once at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from suanmesh.accounting.v1 import usage_pb2
from suanmesh.accounting.v1.accounting_service_pb2 import HoldAsk
from suanmesh.type.v1 import money_pb2
from suanmesh_accounting.domain.commands import Measured
from suanmesh_accounting.domain.ledger import Account, AccountKind, Hold, Move, Posting, within
from suanmesh_accounting.domain.prices import Book, RatedLine, compute_lines, transfer_lines
from suanmesh_accounting.wire import month_at, price_to, tariffs_from, timestamp
from suanmesh_kernel.names import versioned

if TYPE_CHECKING:
    from suanmesh_accounting.ledger.session import Session

Prices = Callable[[str, int], Book]
"""A version of a price book. Raises NotFound (`PRICE_UNKNOWN`)."""
Kind = tuple[int, str, str]
"""Which lines of a hold differ in their amounts only: meter, price, and payee's party."""


class HoldCharges:
    """Charges the usage of one hold at one moment; until it is settled, the books know of the lines but not of what was
    spent. What is settled together is one entry, named after its first charge.
    """

    def __init__(
        self, session: Session, hold: Hold, account: Account, left_micros: int, prices: Prices, now_us: int
    ) -> None:
        """`left_micros` is what may still be charged."""
        self.hold = hold
        self._prices = prices
        self._session = session
        self._currency = account.currency
        self._ask = HoldAsk.FromString(hold.ask)
        self._left_micros = left_micros
        self._now_us = now_us
        self._entry = ""
        self._earned: Counter[str] = Counter()
        """By payee, what is to be posted."""
        self._alike: dict[Kind, tuple[str, bytes]] = {}

    def charge(self, measured: Measured, move: Move | None) -> int:
        """Write down every line of a record, as far as the hold covers them; gives how many there are.

        Raises Refusal before it has changed anything.
        """
        lines = self._lines(measured, move)
        moved = move.dataset if move else ""
        shares = within([line.amount_micros for line in lines], self._left_micros)
        reference = measured.reference
        stem = "charges/" + reference.removeprefix("sites/").replace("/", "-")
        for position, (line, share) in enumerate(zip(lines, shares, strict=True)):
            payee, alike = self._alike_of(line)
            name, charged = f"{stem}-{position}", share.charged_micros
            if charged:
                self._entry = self._entry or name
                self._earned[payee] += charged
                self._left_micros -= charged
            own = usage_pb2.Charge(
                name=name,
                usage=reference,
                quantity=line.quantity,
                amount_micros=charged,
                waived_micros=share.waived_micros,
                remainder_in=line.remainder_in,
                remainder_out=line.remainder_out,
                dataset=moved,
                entry=self._entry if charged else "",
            )
            document = alike + own.SerializeToString()  # fields of a message may come in any order
            sums = (measured.site, line.meter, charged, share.waived_micros)
            dataset = versioned(moved)[0] if moved else ""
            self._session.charges.append((self.hold.account, self.hold.job, *sums, self._now_us, dataset, document))
            self._session.remainders.carry(self.hold.name, line.rate, line.remainder_out)
        return len(lines)

    def settle(self) -> None:
        """Take what was charged out of the hold and out of its account, and post it."""
        spent = self._earned.total()
        if not spent:
            return
        session, currency = self._session, self._currency
        sides = [Posting(payee, earned, currency) for payee, earned in self._earned.items()]
        session.post([Posting(self.hold.account, -spent, currency), *sides], self._entry, self._now_us)
        for payee, earned in self._earned.items():
            session.move_money(payee, balance_micros=earned)
        session.spend(self.hold, spent, month_at(self._now_us))

    def _lines(self, measured: Measured, move: Move | None) -> list[RatedLine]:
        """Rate a record by the book version and the link prices the hold fixed.

        What was moved pays for the links of its own way alone; a way the hold fixed no price for is free.
        """
        carried = self._session.remainders.of(self.hold.name)
        if not measured.transfer:
            return compute_lines(measured.readings, self._book, carried)
        moved = sum(r.quantity for r in measured.readings if r.meter == money_pb2.METER_TRANSFER_BYTES)
        ends = (move.source, move.target) if move else None
        crossed = [priced for priced in self._ask.link_prices if (priced.source, priced.target) == ends]
        return transfer_lines(money_pb2.METER_TRANSFER_BYTES, moved, tariffs_from(crossed), carried)

    @cached_property
    def _book(self) -> Book:
        """The prices that the hold has fixed. Raises NotFound (`PRICE_UNKNOWN`)."""
        return self._prices(self._ask.price_book, self.hold.price_version)

    def _alike_of(self, line: RatedLine) -> tuple[str, bytes]:
        """The payee of a line, and the fields of its charge that it has in common with those of its kind."""
        kind = (line.meter, line.price_version, line.payee_party)
        found = self._alike.get(kind)
        if found is None:
            hold, currency = self.hold, self._currency
            payee = self._session.account_for(line.payee_party, AccountKind.PROVIDER, currency, self._now_us)
            charge = usage_pb2.Charge(
                account=hold.account,
                payee=payee,
                job=hold.job,
                placement=hold.placement,
                decision=self._ask.decision,
                meter=money_pb2.Meter.ValueType(line.meter),
                price=price_to(line),
                price_version=line.price_version,
                currency=currency,
                trace_id=hold.trace_id,
                create_time=timestamp(self._now_us),
            )
            found = self._alike[kind] = (payee, charge.SerializeToString())
        return found
