"""Money as a person reads it: every line with its unit price and the trace behind it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from suanmesh.accounting.v1.account_pb2 import Account
from suanmesh.accounting.v1.usage_pb2 import Bill, Charge
from suanmesh_cli import units


def bill(owed: Bill, lang: str = "en") -> RenderableType:
    """The charges, and their sum; what was waived only where something was."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", show_footer=True)
    total = "total" if lang == "en" else "合计"
    table.add_column("METER", total, no_wrap=True)
    table.add_column("QUANTITY", justify="right", no_wrap=True)
    table.add_column("UNIT PRICE", no_wrap=True)
    table.add_column("AMOUNT", units.money(owed.total_micros, owed.currency), justify="right", no_wrap=True)
    waived_micros = sum(charge.waived_micros for charge in owed.charges)
    if waived_micros:
        table.add_column("WAIVED", units.money(waived_micros, owed.currency), justify="right", no_wrap=True)
    for title in ("PAYEE", "JOB", "PRICE VERSION", "TRACE"):
        table.add_column(title, no_wrap=True)
    for charge in owed.charges:
        table.add_row(*(Text(cell) for cell in _cells(charge, with_waived=waived_micros > 0)))
    return Group(Text(f"{owed.account}  {len(owed.charges)} " + ("charges" if lang == "en" else "行")), table)


def ledger(accounts: Iterable[Account], lang: str = "en") -> RenderableType:
    """Every balance, and for each currency that they sum to zero, or by how much they do not."""
    accounts = list(accounts)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for title in ("ACCOUNT", "PARTY", "KIND"):
        table.add_column(title, no_wrap=True)
    for title in ("BALANCE", "HELD"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in accounts:
        kind = Account.Kind.Name(each.kind).removeprefix("KIND_")
        balance, held = units.money(each.balance_micros, each.currency), units.money(each.held_micros)
        table.add_row(*(Text(cell) for cell in (each.name, each.party, kind, balance, held)))
    return Group(table, *(Text(_verdict(currency, sum_, lang)) for currency, sum_ in sums(accounts).items()))


def sums(accounts: Iterable[Account]) -> dict[str, int]:
    """The sum of all balances, by currency, in 10^-6."""
    found: dict[str, int] = {}
    for each in accounts:
        found[each.currency] = found.get(each.currency, 0) + each.balance_micros
    return found


def _verdict(currency: str, sum_micros: int, lang: str) -> str:
    amount = units.money(sum_micros, currency)
    if lang == "zh":
        return f"合计 {amount}：{'平衡' if sum_micros == 0 else '不平衡'}"
    return f"sum {amount}: {'balanced' if sum_micros == 0 else 'OUT OF BALANCE'}"


def _cells(charge: Charge, *, with_waived: bool) -> list[str]:
    unit = units.METER_UNITS.get(charge.meter, "")
    return [
        units.METERS.get(charge.meter, str(charge.meter)),
        f"{charge.quantity} {unit}",
        units.price(charge.price.meter, charge.price.amount_micros, charge.price.per_quantity),
        units.money(charge.amount_micros, charge.currency),
        *([units.money(charge.waived_micros, charge.currency)] if with_waived else []),
        units.short(charge.payee),
        units.short(charge.job),
        units.short(charge.price_version),
        charge.trace_id,
    ]
