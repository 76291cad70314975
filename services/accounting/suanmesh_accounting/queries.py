"""Lists of the ledger, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, case, func, or_, select

from suanmesh.accounting.v1 import accounting_service_pb2 as accounting_pb
from suanmesh.accounting.v1 import price_book_pb2, usage_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_accounting import tables as t
from suanmesh_accounting.domain.ledger import HoldState
from suanmesh_kernel import pages


@dataclass(frozen=True, slots=True)
class Page:
    """What page of which list: `scope` is the method and whatever else chose the rows."""

    size: int
    after: str
    scope: str


def page_of(page_size: int, page_token: str, scope: str) -> Page:
    """Check what was asked. Raises InvalidArgument (`FIELD_INVALID`, `PAGE_TOKEN_INVALID`)."""
    return Page(pages.checked_size(page_size), pages.after(page_token, scope), scope)


def accounts(c: Connection, page: Page, party: str) -> tuple[Sequence[Row[Any]], str]:
    """Accounts by name; an empty party means all."""
    query = select(t.accounts).where(t.accounts.c.name > page.after).order_by(t.accounts.c.name)
    query = query.where(t.accounts.c.party == party) if party else query
    return _cut(c, query, page, lambda row: str(row.name))


def price_books(c: Connection, page: Page) -> tuple[list[price_book_pb2.PriceBook], str]:
    """Books in force by name."""
    newest = (
        select(t.price_books.c.name, func.max(t.price_books.c.version).label("version"))
        .where(t.price_books.c.name > page.after)
        .group_by(t.price_books.c.name)
        .subquery()
    )
    query = (
        select(t.price_books)
        .join(newest, (newest.c.name == t.price_books.c.name) & (newest.c.version == t.price_books.c.version))
        .order_by(t.price_books.c.name)
    )
    rows, token = _cut(c, query, page, lambda row: str(row.name))
    return [price_book_pb2.PriceBook.FromString(row.document) for row in rows], token


def price_book_versions(c: Connection, page: Page) -> tuple[list[price_book_pb2.PriceBook], str]:
    """Every version there has been, by name and age."""
    order = t.price_books.c.name + func.printf("@%019d", t.price_books.c.version)
    query = select(t.price_books, order.label("position_in_list")).where(order > page.after).order_by(order)
    rows, token = _cut(c, query, page, lambda row: str(row.position_in_list))
    return [price_book_pb2.PriceBook.FromString(row.document) for row in rows], token


def usage(c: Connection, page: Page, job: str, party: str) -> tuple[Sequence[Row[Any]], str]:
    """Usage records in the order they came; an empty job or party means all."""
    query = _by_id(t.usage, page)
    query = query.where(t.usage.c.job == job) if job else query
    query = query.where(t.usage.c.party == party) if party else query
    return _cut(c, query, page, _id)


@dataclass(frozen=True, slots=True)
class Owed:
    """Which charges of an account: those rated from `start_us` on and before `end_us`; an empty job means all."""

    account: str
    job: str
    start_us: int
    end_us: int

    def of(self, query: Select[Any]) -> Select[Any]:
        """The query, of those charges alone."""
        made = t.charges.c
        query = query.where(made.account == self.account, made.create_us >= self.start_us, made.create_us < self.end_us)
        return query.where(made.job == self.job) if self.job else query


def charges(c: Connection, page: Page, owed: Owed) -> tuple[list[usage_pb2.Charge], str]:
    """Charges in the order they were rated."""
    rows, token = _cut(c, owed.of(_by_id(t.charges, page)), page, _id)
    return [usage_pb2.Charge.FromString(row.document) for row in rows], token


def total(c: Connection, owed: Owed) -> int:
    """The sum of those charges, whatever page they are on."""
    return c.execute(owed.of(select(func.sum(t.charges.c.amount_micros)))).scalar_one() or 0


def postings(c: Connection, page: Page, account: str) -> tuple[Sequence[Row[Any]], str]:
    """Postings in the order they were made; an empty account means all."""
    query = _by_id(t.postings, page)
    query = query.where(t.postings.c.account == account) if account else query
    return _cut(c, query, page, _id)


def holds(c: Connection, page: Page, account: str, party: str) -> tuple[Sequence[Row[Any]], str]:
    """Holds, those that stand first; an empty account or party means all."""
    order = _hold_order()
    query = select(t.holds, order.label("position_in_list")).where(order > page.after).order_by(order)
    query = query.where(t.holds.c.account == account) if account else query
    if party:
        own = select(t.accounts.c.name).where(t.accounts.c.party == party)
        query = query.where(t.holds.c.account.in_(own))
    return _cut(c, query, page, lambda row: str(row.position_in_list))


def _hold_order() -> ColumnElement[str]:
    return case((t.holds.c.state == HoldState.RELEASED, "1"), else_="0") + t.holds.c.name


def _by_id(table: Any, page: Page) -> Select[Any]:
    return select(table).where(table.c.id > pages.as_number(page.after)).order_by(table.c.id)


def _id(row: Row[Any]) -> str:
    return f"{row.id:0{pages.NUMBER_DIGITS}d}"


def _cut(
    c: Connection, query: Select[Any], page: Page, name: Callable[[Row[Any]], str]
) -> tuple[Sequence[Row[Any]], str]:
    rows = c.execute(query.limit(page.size + 1)).all()
    names, token = pages.cut((name(row) for row in rows), page.size, page.scope)
    return rows[: len(names)], token


def metering_state(c: Connection, site: str, epoch: str, works: Sequence[str]) -> accounting_pb.MeteringState:
    """What is stored of a site's meter, and the sums of what it metered of `works`."""
    mine = t.usage.c.site == site
    last = c.execute(select(t.usage.c.epoch).where(mine).order_by(t.usage.c.id.desc()).limit(1)).scalar()
    sequence = c.execute(select(func.max(t.usage.c.sequence)).where(mine, t.usage.c.epoch == epoch)).scalar()
    about = or_(t.usage.c.placement.in_(works), t.usage.c.transfer.in_(works))
    rows = c.execute(select(t.usage.c.signed).where(mine, about)) if works else ()
    state = accounting_pb.MeteringState(last_epoch=last or "", last_sequence=sequence or 0)
    sums: dict[tuple[str, int], accounting_pb.MeteredWork] = {}
    for row in rows:
        record = usage_pb2.UsageRecord.FromString(signed_pb2.Signed.FromString(row.signed).payload)
        key = (record.transfer or record.placement, record.task)
        if key not in sums:
            sums[key] = state.works.add(work=key[0], task=key[1])
        _add_to(sums[key], record)
    return state


def _add_to(work: accounting_pb.MeteredWork, record: usage_pb2.UsageRecord) -> None:
    totals = {reading.meter: reading for reading in work.readings}
    for reading in record.readings:
        total = totals.get(reading.meter)
        if total is None:
            work.readings.add(meter=reading.meter, quantity=reading.quantity)
        else:
            total.quantity += reading.quantity
    work.final = work.final or record.final
    if record.end_time.ToNanoseconds() > work.end_time.ToNanoseconds():
        work.end_time.CopyFrom(record.end_time)
