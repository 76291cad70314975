"""Bills and sums of charges: what is on all pages of one is what there was when its first page was read.

Whoever adds up the pages of a bill comes to its total, though the account is being charged meanwhile.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, bindparam, case, func, literal, select

from suanmesh.type.v1.money_pb2 import METER_TRANSFER_BYTES
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.ledger import Account, HoldState
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.paging import by_id, page_of, place_of_id
from suanmesh_accounting.ledger.rows import account_of
from suanmesh_kernel import pages
from suanmesh_kernel.refusals import NotFound

STANDING = (HoldState.HELD, HoldState.COMMITTED)
"""Named one by one, so that an index finds the few that stand among all that ever were."""


class _Whole(NamedTuple):
    """What all pages come to: the charges up to the newest there was, by id, and what was held then."""

    newest: int
    charges: int
    total_micros: int
    waived_micros: int
    held_micros: int


def account_named(c: Connection, name: str, party: str = "") -> Account:
    """One account, of `party` unless that is empty. Raises NotFound (`ACCOUNT_UNKNOWN`)."""
    row = c.execute(_ACCOUNT, {"name": name}).first()
    if row is None or party not in ("", row.party):
        raise NotFound("ACCOUNT_UNKNOWN", f"no account {name}", name=name)
    return account_of(row)


def bill(c: Connection, query: q.Bill) -> q.BillPage:
    """Some charges of an account, and what all of them come to."""
    account = account_named(c, query.account, query.party)
    owed = _charged(account.name, query.start_us, query.end_us)
    owed += [t.charges.c.job == query.job] if query.job else []
    after, whole = _after(query.cut.after)
    if whole is None:
        held = _held_for(c, account.name, query.job) if query.job else account.held_micros
        whole = _whole(c, owed, held)
    found = by_id(t.charges, after).where(*owed, t.charges.c.id <= whole.newest)
    charges = page_of(c, found, query.cut, lambda row: _place(place_of_id(row), whole), lambda row: bytes(row.document))
    return q.BillPage(account, charges, *whole[1:])


def summed_charges(c: Connection, query: q.SummedCharges) -> q.ChargeSums:
    """Some sums of charges of an account, and what all of them come to."""
    made = t.charges.c
    account = account_named(c, query.account, query.party)
    charged = _charged(account.name, query.start_us, query.end_us)
    key: ColumnElement[Any] = {
        q.ChargeGroup.JOB: made.job,
        q.ChargeGroup.SITE: made.site,
        q.ChargeGroup.METER: made.meter,
        q.ChargeGroup.DATASET: _DATASET,
        q.ChargeGroup.DAY: (made.create_us + query.offset_us) // q.DAY_US,
    }[query.group]
    after, whole = _after(query.cut.after)
    whole = whole or _whole(c, charged)
    named = query.group in (q.ChargeGroup.JOB, q.ChargeGroup.SITE, q.ChargeGroup.DATASET)
    beyond = [key > (after if named else pages.as_number(after))] if after else []
    sums = select(key.label("key"), *_COUNTED, func.min(made.create_us), func.max(made.create_us))
    sums = sums.where(*charged, made.id <= whole.newest, *beyond).group_by(key).order_by(key)

    def place(row: Row[Any]) -> str:
        return _place(row[0] if named else f"{row[0]:0{pages.NUMBER_DIGITS}d}", whole)

    page = page_of(c, sums, query.cut, place, _sum_of)
    return q.ChargeSums(account, page, whole.charges, whole.total_micros, whole.waived_micros)


def _charged(account: str, start_us: int, end_us: int) -> list[ColumnElement[bool]]:
    made = t.charges.c
    return [made.account == account, made.create_us >= start_us, made.create_us < end_us]


def _whole(c: Connection, owed: list[ColumnElement[bool]], held_micros: int = 0) -> _Whole:
    newest = c.execute(select(func.max(t.charges.c.id))).scalar_one() or 0
    charges, total, waived = map(int, c.execute(select(*_COUNTED).where(*owed)).one())
    return _Whole(newest, charges, total, waived, held_micros)


def _place(place: str, whole: _Whole) -> str:
    return " ".join((place, *map(str, whole)))


def _after(told: str) -> tuple[str, _Whole | None]:
    """Where a page begins, and what was told with the first; None for the first itself.

    Raises InvalidArgument (`PAGE_TOKEN_INVALID`).
    """
    after, *numbers = told.split(" ")
    if not numbers:
        return after, None
    if len(numbers) != len(_Whole._fields):
        raise pages.not_given()
    return after, _Whole(*map(pages.as_number, numbers))


def _sum_of(row: Row[Any]) -> q.ChargeSum:
    return q.ChargeSum(row[0], *map(int, row[1:]))


def _held_for(c: Connection, account: str, job: str) -> int:
    """What the standing holds of a job still take from an account."""
    columns = t.holds.c
    query = select(func.sum(columns.amount_micros - columns.charged_micros)).where(
        columns.account == account,
        columns.state.in_(STANDING),
        columns.amount_micros > columns.charged_micros,
        columns.job == job,
    )
    return int(c.execute(query).scalar_one() or 0)


_ACCOUNT = select(t.accounts).where(t.accounts.c.name == bindparam("name"))
_COUNTED = (
    func.count(),
    func.coalesce(func.sum(t.charges.c.amount_micros), 0),
    func.coalesce(func.sum(t.charges.c.waived_micros), 0),
)
_DATASET = case(
    (t.charges.c.dataset != "", t.charges.c.dataset),
    (t.charges.c.meter == METER_TRANSFER_BYTES, literal(q.NOT_RECORDED, t.Text)),
    else_=literal(q.NO_DATASET, t.Text),
)
