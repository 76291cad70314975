"""Money as a person reads it: every line with its unit price and the trace behind it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from suanmesh.accounting.v1.account_pb2 import Account
from suanmesh.accounting.v1.usage_pb2 import Bill, Charge
from suanmesh_cli import units, values
from suanmesh_cli.layout import Column
from suanmesh_cli.output import View, sentence
from suanmesh_cli.tables import table
from suanmesh_cli.values import Cell, Quantity
from suanmesh_kernel.texts import Text
from suanmesh_sdk.enums import enum_name


def quantity(charge: Charge) -> Quantity:
    """How much was used, in the unit it was metered in."""
    return Quantity(charge.quantity, f"{charge.quantity} {units.METER_UNITS.get(charge.meter, '')}")


def price(charge: Charge) -> str:
    """What a unit costs."""
    return units.price(charge.price.meter, charge.price.amount_micros, charge.price.per_quantity)


def site(charge: Charge) -> str:
    """The site that measured."""
    return units.short(charge.usage.rpartition("/")[0].rpartition("/")[0])


COLUMNS = (
    Column("WHEN", lambda charge: charge.create_time, rank=1),
    Column("METER", lambda charge: units.METERS.get(charge.meter, str(charge.meter))),
    Column("QUANTITY", quantity, rank=1),
    Column("UNIT", lambda charge: units.METER_UNITS.get(charge.meter, ""), for_programs=True),
    Column("UNIT PRICE", price, rank=2),
    Column("PRICE", lambda charge: values.money(charge.price.amount_micros), for_programs=True),
    Column("PRICE PER", lambda charge: charge.price.per_quantity, for_programs=True),
    Column("CARRIED", lambda charge: values.money(charge.remainder_in), for_programs=True),
    Column("AMOUNT", lambda charge: values.money(charge.amount_micros, charge.currency)),
    Column("WAIVED", lambda charge: values.money(charge.waived_micros, charge.currency)),
    Column("CURRENCY", lambda charge: charge.currency, for_programs=True),
    Column("PAYEE", lambda charge: units.short(charge.payee), rank=2),
    Column("JOB", lambda charge: units.short(charge.job)),
    Column("SITE", site, rank=2),
    Column("PRICE VERSION", lambda charge: units.short(charge.price_version), rank=3),
    Column("TRACE", lambda charge: charge.trace_id, rank=4),
)
ACCOUNT_COLUMNS = (
    Column("ACCOUNT", lambda account: account.name),
    Column("PARTY", lambda account: account.party, rank=2),
    Column("KIND", lambda account: enum_name(Account.Kind, account.kind, "KIND_"), rank=1),
    Column("BALANCE", lambda account: values.money(account.balance_micros, account.currency)),
    Column("HELD", lambda account: values.money(account.held_micros)),
    Column("CURRENCY", lambda account: account.currency, for_programs=True),
    Column("OPENED", lambda account: account.create_time, rank=3),
    Column("CLOSED", lambda account: account.close_time, rank=1),
)


def bill(view: View, owed: Bill) -> list[str]:
    """The charges, and their sum; what was waived only where something was."""
    shown, count = len(owed.charges), max(owed.charge_count, len(owed.charges))
    some = Text(f"{shown} of {count} charges", f"{count} 行中的 {shown} 行")
    said = some if shown < count else Text(f"{count} charges", f"{count} 行")
    head = f"{owed.account}  {said.of(view.lang)}"
    return [*sentence(view, head), *table(view, owed.charges, columns_of(owed), footer=footer_of(view, owed))]


def columns_of(owed: Bill) -> list[Column]:
    """The columns of a bill: what was waived only where something was."""
    return [column for column in COLUMNS if column.title != "WAIVED" or _waived_micros(owed)]


def footer_of(view: View, owed: Bill) -> list[Cell]:
    """What all of it comes to, also what is not shown."""
    sums: dict[str, Cell] = {
        "METER": "total" if view.lang == "en" else "合计",
        "AMOUNT": values.money(owed.total_micros, owed.currency),
        "CURRENCY": owed.currency,
        "WAIVED": values.money(_waived_micros(owed), owed.currency),
    }
    return [sums.get(column.title, "") for column in columns_of(owed)]


def _waived_micros(owed: Bill) -> int:
    """That of all charges; of those there are where a service does not tell it."""
    return owed.waived_micros or sum(charge.waived_micros for charge in owed.charges)


def ledger(view: View, accounts: Sequence[Account]) -> list[str]:
    """Every balance, and for each currency that they sum to zero, or by how much they do not."""
    told = [_verdict(currency, sum_, view.lang) for currency, sum_ in sums(accounts).items()]
    return table(view, accounts, ACCOUNT_COLUMNS) + told


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
