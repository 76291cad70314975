"""What the usage of one transaction does to one hold: rated line by line, taken out of the hold once at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from suanmesh.accounting.v1 import usage_pb2
from suanmesh.accounting.v1.accounting_service_pb2 import HoldAsk
from suanmesh.type.v1 import money_pb2
from suanmesh_accounting.domain.commands import Measured, RecordUsage
from suanmesh_accounting.domain.ledger import Account, AccountKind, Hold, Share, entry, within
from suanmesh_accounting.domain.prices import Book, RatedLine, compute_lines, transfer_lines
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.wire import price_to, tariffs_from, timestamp

if TYPE_CHECKING:
    from suanmesh_accounting.ledger.session import Session

Kind = tuple[int, str, str, int]
"""Which lines of a hold differ in their amounts only: meter, price, payee's party, and when they were rated."""


class HoldCharges:
    """Charges the usage of one hold; until it is settled, the books know of the lines but not of what was spent."""

    def __init__(
        self, session: Session, hold: Hold, account: Account, left_micros: int, book: Callable[[HoldAsk], Book]
    ) -> None:
        """`left_micros` is what may still be charged; `book` gives the prices that the hold has fixed."""
        self.hold, self.party = hold, account.party
        self._session = session
        self._currency = account.currency
        self._ask = HoldAsk.FromString(hold.ask)
        self._book = book
        self._left_micros = left_micros
        self._spent_micros = 0
        self._alike: dict[Kind, tuple[str, bytes]] = {}

    def charge(self, command: RecordUsage) -> tuple[str, ...]:
        """Write down every line of a record, as far as the hold covers them; gives their names.

        Raises Refusal before it has changed anything.
        """
        measured, work = command.measured, work_of(self.hold, command.measured)
        lines = self._lines(command, work)
        shares = within([line.amount_micros for line in lines], self._left_micros)
        stem = f"charges/{measured.site.removeprefix('sites/')}-{measured.epoch}-{measured.sequence}"
        names = tuple([f"{stem}-{position}" for position in range(len(lines))])
        for name, line, share in zip(names, lines, shares, strict=True):
            self._write(name, measured, line, share, command.record_us)
            self._session.remainders.carry(work, line.rate, line.remainder_out)
            self._spent_micros += share.charged_micros
            self._left_micros -= share.charged_micros
        return names

    def settle(self) -> None:
        """Take what was charged out of the hold and out of its account."""
        if self._spent_micros:
            self._session.spend(self.hold, self._spent_micros)

    def _lines(self, command: RecordUsage, work: str) -> list[RatedLine]:
        """Rate a record by the book version and the link prices the hold fixed.

        What was moved pays for the links of its own way alone; a way the hold fixed no price for is free.
        """
        measured, move, carried = command.measured, command.move, self._session.remainders.of(work)
        if not measured.transfer:
            return compute_lines(measured.readings, self._book(self._ask), carried)
        moved = sum(r.quantity for r in measured.readings if r.meter == money_pb2.METER_TRANSFER_BYTES)
        ends = (move.source, move.target) if move else None
        crossed = [priced for priced in self._ask.link_prices if (priced.source, priced.target) == ends]
        return transfer_lines(money_pb2.METER_TRANSFER_BYTES, moved, tariffs_from(crossed), carried)

    def _write(self, name: str, measured: Measured, line: RatedLine, share: Share, now_us: int) -> None:
        session, hold, charged = self._session, self.hold, share.charged_micros
        payee, alike = self._alike_of(line, now_us)
        own = usage_pb2.Charge(
            name=name,
            usage=measured.reference,
            quantity=line.quantity,
            amount_micros=charged,
            waived_micros=share.waived_micros,
            remainder_in=line.remainder_in,
            remainder_out=line.remainder_out,
        )
        row = {
            "name": name,
            "account": hold.account,
            "job": hold.job,
            "usage": measured.reference,
            "amount_micros": charged,
            "create_us": now_us,
            "document": alike + own.SerializeToString(),  # fields of a message may come in any order
        }
        session.add(t.charges, row)
        if charged:
            session.move_money(payee, balance_micros=charged)
            session.post(entry(hold.account, payee, charged, self._currency), name, name, now_us)

    def _alike_of(self, line: RatedLine, now_us: int) -> tuple[str, bytes]:
        """The payee of a line, and the fields of its charge that it has in common with those of its kind."""
        kind = (line.meter, line.price_version, line.payee_party, now_us)
        found = self._alike.get(kind)
        if found is None:
            hold, currency = self.hold, self._currency
            payee = self._session.account_for(line.payee_party, AccountKind.PROVIDER, currency, now_us)
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
                create_time=timestamp(now_us),
            )
            found = self._alike[kind] = (payee, charge.SerializeToString())
        return found


def work_of(hold: Hold, measured: Measured) -> str:
    """The task or transfer of a hold whose lines are rounded together."""
    return f"{hold.name}/{measured.transfer or measured.task}"
