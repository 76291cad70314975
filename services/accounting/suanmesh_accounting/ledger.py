"""The ledger in SQL: every method is one transaction, run off the event loop by one writer thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import chain, count
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Row, create_engine, event, func, insert, select, tuple_, update

from suanmesh.accounting.v1 import accounting_service_pb2, price_book_pb2
from suanmesh.type.v1 import document_pb2
from suanmesh_accounting import tables as t
from suanmesh_accounting.domain.ledger import (
    AccountKind,
    HoldState,
    Posting,
    Promise,
    Purse,
    chargeable,
    entry,
    moved_on,
    payable,
    promised,
)
from suanmesh_accounting.wire import microseconds
from suanmesh_kernel.names import last
from suanmesh_kernel.refusals import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Refusal,
    ResourceExhausted,
)
from suanmesh_store import Answered, MemoKey
from suanmesh_store.soundness import must_be_sound_at
from suanmesh_store.transactions import Transactions

R = TypeVar("R")

STANDING = (HoldState.HELD, HoldState.COMMITTED)
"""Named one by one, so that an index finds the few that stand among all that ever were."""
BALANCE_MICROS_MAX = 9 * 10**18
"""Room that a 64-bit balance leaves for the charges of a lifetime."""

PARTY_ACCOUNTS_MAX = 1000
PRICE_BOOKS_MAX = 10_000
PRICE_BOOK_VERSIONS_MAX = 10_000


def open_ledger(url: str) -> Engine:
    """An engine whose SQLite keeps what it acknowledged: WAL with a full sync at every commit.

    Raises StoreCorrupt where the file is damaged.
    """
    must_be_sound_at(url, "the ledger")
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _durable_sqlite)
        event.listen(engine, "begin", _begin)
    t.metadata.create_all(engine)
    return engine


def _durable_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # else Python begins transactions late and ends them at a savepoint
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


class Ledger:
    """Runs transactions on the ledger, one at a time, so that a balance read is a balance held."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = Transactions(engine, "the ledger")

    async def run(self, work: Callable[[Connection], R]) -> R:
        """Run `work` in one transaction; it commits when `work` returns and leaves no trace when it raises.

        Raises what `work` raises, and refusals where the database fails.
        """
        return await self._writer.transact(work)

    async def close(self) -> None:
        """Finish what is queued and close the database."""
        await self._writer.close()
        self._engine.dispose()

    @property
    def trouble(self) -> Refusal | None:
        """What kept the last transaction from being made; None where nothing did."""
        return self._writer.trouble

    async def recall(self, key: MemoKey) -> Answered | None:
        """The answer once given to a request id."""
        return await self.run(lambda c: recalled(c, key))


def recalled(c: Connection, key: MemoKey) -> Answered | None:
    """The answer once given to a request id."""
    requests = t.requests.c
    query = select(requests.record).where(
        requests.principal == key.principal, requests.method == key.method, requests.request_id == key.request_id
    )
    found = c.execute(query).scalar_one_or_none()
    return None if found is None else Answered(document_pb2.RequestRecord.FromString(found))


def remember(c: Connection, key: MemoKey, record: document_pb2.RequestRecord, now: datetime) -> None:
    """Keep the answer to a request id beside the effect."""
    row = {
        "principal": key.principal,
        "method": key.method,
        "request_id": key.request_id,
        "record": record.SerializeToString(),
        "create_us": microseconds(now),
    }
    c.execute(insert(t.requests).values(row))


def forget_requests(c: Connection, before: datetime, at_most: int) -> None:
    """Forget answers given before a moment, the oldest first."""
    columns = (t.requests.c.principal, t.requests.c.method, t.requests.c.request_id)
    old = select(*columns).where(t.requests.c.create_us < microseconds(before)).order_by(t.requests.c.create_us)
    c.execute(t.requests.delete().where(tuple_(*columns).in_(old.limit(at_most))))


# Accounts


def add_account(c: Connection, name: str, party: str, currency: str, kind: AccountKind, now: datetime) -> Row[Any]:
    """Open an account with nothing in it."""
    if c.execute(select(t.accounts.c.name).where(t.accounts.c.name == name)).first():
        raise AlreadyExists("ACCOUNT_EXISTS", f"{name} is there already", name=name)
    row = {"name": name, "party": party, "currency": currency, "kind": kind, "balance_micros": 0}
    c.execute(insert(t.accounts).values(row | {"create_us": microseconds(now)}))
    return account(c, name)


def require_room_for_account(c: Connection, party: str) -> None:
    """Raise ResourceExhausted (`ACCOUNTS_TOO_MANY`) where a party may open no more; income always finds its account."""
    has = c.execute(select(func.count()).where(t.accounts.c.party == party)).scalar_one()
    if has >= PARTY_ACCOUNTS_MAX:
        message = f"{party} has {has} accounts, at most {PARTY_ACCOUNTS_MAX} are allowed"
        raise ResourceExhausted("ACCOUNTS_TOO_MANY", message, name=party, most=PARTY_ACCOUNTS_MAX)


def account(c: Connection, name: str) -> Row[Any]:
    """One account."""
    row = c.execute(select(t.accounts).where(t.accounts.c.name == name)).first()
    if row is None:
        raise NotFound("ACCOUNT_UNKNOWN", f"no account {name}", name=name)
    return row


def held_on(c: Connection, name: str, job: str = "") -> int:
    """What an account's standing holds still take from it; an empty job means all."""
    open_part = func.sum(t.holds.c.amount_micros - t.holds.c.charged_micros)
    query = select(open_part).where(
        t.holds.c.account == name,
        t.holds.c.state.in_(STANDING),
        t.holds.c.amount_micros > t.holds.c.charged_micros,
    )
    query = query.where(t.holds.c.job == job) if job else query
    return c.execute(query).scalar_one() or 0


def purse_of(c: Connection, name: str) -> Purse:
    """What an account has, and how much of it is promised."""
    row = account(c, name)
    return Purse(row.name, row.currency, row.balance_micros, held_on(c, name))


def account_for(c: Connection, party: str, kind: AccountKind, currency: str, now: datetime) -> str:
    """The account of a kind a party keeps in a currency; opened when it is first needed."""
    query = select(t.accounts.c.name).where(
        t.accounts.c.party == party, t.accounts.c.kind == kind, t.accounts.c.currency == currency
    )
    found = c.execute(query.order_by(t.accounts.c.name)).scalars().first()
    if found is not None:
        return str(found)
    purpose = "income" if kind is AccountKind.PROVIDER else "funding"
    name = _free_name(c, f"accounts/{last(party)}-{purpose}-{currency.lower()}")
    add_account(c, name, party, currency, kind, now)
    return name


def _free_name(c: Connection, name: str) -> str:
    """The name, or with a number where an account for something else has it: money must find its way all the same."""
    taken = set(
        c.execute(select(t.accounts.c.name).where(t.accounts.c.name.startswith(name, autoescape=True))).scalars()
    )
    return next(free for free in chain([name], (f"{name}-{n}" for n in count(2))) if free not in taken)


def post(c: Connection, sides: Sequence[Posting], entry_id: str, charge: str, now: datetime) -> None:
    """Write the postings of one entry and move the balances with them."""
    for side in sides:
        row = {"entry": entry_id, "charge": charge, "post_us": microseconds(now)}
        amounts = {"account": side.account, "amount_micros": side.amount_micros, "currency": side.currency}
        c.execute(insert(t.postings).values(row | amounts))
        c.execute(
            update(t.accounts)
            .where(t.accounts.c.name == side.account)
            .values(balance_micros=t.accounts.c.balance_micros + side.amount_micros)
        )


def credit(c: Connection, name: str, amount_micros: int, entry_id: str, operator: str, now: datetime) -> Row[Any]:
    """Credit money paid in from outside, against the funding account of its currency."""
    if amount_micros <= 0:
        problem = f"amount_micros: {amount_micros} is not positive"
        raise InvalidArgument("FIELD_INVALID", problem, field="amount_micros")
    row = account(c, name)
    funding = account_for(c, operator, AccountKind.FUNDING, row.currency, now)
    most = BALANCE_MICROS_MAX - max(row.balance_micros, -account(c, funding).balance_micros)
    if amount_micros > most:
        problem = f"amount_micros: {amount_micros} is more than the books can hold; at most {most} can be added"
        raise InvalidArgument("FIELD_INVALID", problem, field="amount_micros")
    post(c, entry(funding, name, amount_micros, row.currency), entry_id, "", now)
    return account(c, name)


# Price books


def add_price_book(c: Connection, book: price_book_pb2.PriceBook) -> price_book_pb2.PriceBook:
    """Put the next version of a book into force."""
    newest = select(func.max(t.price_books.c.version)).where(t.price_books.c.name == book.name)
    book.version = (c.execute(newest).scalar_one() or 0) + 1
    if book.version > PRICE_BOOK_VERSIONS_MAX:
        message = f"{book.name} has {PRICE_BOOK_VERSIONS_MAX} versions; begin another book"
        raise ResourceExhausted("PRICE_BOOKS_TOO_MANY", message, name=book.name, most=PRICE_BOOK_VERSIONS_MAX)
    if book.version == 1:
        _require_room_for_book(c, book.name)
    row = {"name": book.name, "version": book.version, "document": book.SerializeToString()}
    c.execute(insert(t.price_books).values(row))
    return book


def _require_room_for_book(c: Connection, name: str) -> None:
    has = c.execute(select(func.count(t.price_books.c.name.distinct()))).scalar_one()
    if has >= PRICE_BOOKS_MAX:
        message = f"there are {has} price books, at most {PRICE_BOOKS_MAX} are allowed"
        raise ResourceExhausted("PRICE_BOOKS_TOO_MANY", message, name=name, most=PRICE_BOOKS_MAX)


def price_book(c: Connection, name: str, version: int = 0) -> price_book_pb2.PriceBook:
    """One version of a book; 0 for the one in force."""
    query = select(t.price_books.c.document).where(t.price_books.c.name == name)
    query = query.where(t.price_books.c.version == version) if version else query
    document = c.execute(query.order_by(t.price_books.c.version.desc())).scalars().first()
    if document is None:
        raise NotFound("PRICE_UNKNOWN", f"no price book {name}", name=name)
    return price_book_pb2.PriceBook.FromString(document)


# Holds


def add_hold(c: Connection, name: str, ask: accounting_service_pb2.HoldAsk, trace_id: str, now: datetime) -> Row[Any]:
    """Promise money to a placement, or give the hold that stands for it.

    One that was given back before its commit is made anew. Raises FailedPrecondition (`LEASE_GONE`) for one that was
    committed: its placement is over, and what it was charged counts against what it held.
    """
    standing = c.execute(select(t.holds).where(t.holds.c.name == name)).first()
    if standing is not None and standing.state != HoldState.RELEASED:
        return standing
    if standing is not None and standing.committed:
        raise FailedPrecondition("LEASE_GONE", f"{name} was given back already", name=name)
    if standing is not None:
        c.execute(t.holds.delete().where(t.holds.c.name == name))
    purse, book = purse_of(c, ask.account), price_book(c, ask.price_book)
    payable(purse, book.currency)
    promised(purse, ask.amount_micros)
    row = {
        "name": name,
        "account": ask.account,
        "placement": ask.placement,
        "position": ask.index,
        "job": ask.job,
        "site": ask.site,
        "amount_micros": ask.amount_micros,
        "charged_micros": 0,
        "state": HoldState.HELD,
        "committed": False,
        "ask": ask.SerializeToString(),
        "price_version": book.version,
        "trace_id": trace_id,
        "create_us": microseconds(now),
    }
    c.execute(insert(t.holds).values(row))
    return hold(c, name)


def hold(c: Connection, name: str) -> Row[Any]:
    """One hold, which is known to be there."""
    return c.execute(select(t.holds).where(t.holds.c.name == name)).one()


def hold_of(c: Connection, placement: str) -> Row[Any] | None:
    """The hold a placement's usage is rated by."""
    return c.execute(select(t.holds).where(t.holds.c.placement == placement).order_by(t.holds.c.position)).first()


def chargeable_of(c: Connection, row: Row[Any]) -> int:
    """What the placement of a hold may still be charged."""
    promise = Promise(row.amount_micros, row.charged_micros, HoldState(row.state))
    return chargeable(promise, purse_of(c, row.account).free_micros)


def standing_holds(c: Connection) -> Sequence[Row[Any]]:
    """All holds that have not been given back, the oldest first."""
    return c.execute(select(t.holds).where(t.holds.c.state.in_(STANDING)).order_by(t.holds.c.create_us)).all()


def unbound_placements(c: Connection, placements: Iterable[str]) -> Sequence[str]:
    """Those of the placements whose hold is still tied to a lease, as far as is known here."""
    query = select(t.holds.c.placement).where(t.holds.c.placement.in_(placements), t.holds.c.state == HoldState.HELD)
    return c.execute(query).scalars().all()


def held_placements(c: Connection, placements: Iterable[str]) -> Sequence[str]:
    """Those of the placements that have a hold, whatever its state."""
    return c.execute(select(t.holds.c.placement).where(t.holds.c.placement.in_(placements)).distinct()).scalars().all()


def bind_hold(c: Connection, placement: str) -> None:
    """Take note that a placement was committed, unless that is known."""
    row = hold_of(c, placement)
    if row is not None and row.state == HoldState.HELD:
        move_hold(c, row.name, HoldState.COMMITTED)


def move_hold(c: Connection, name: str, to: HoldState) -> None:
    """Bring a hold to its next state; a hold that is there already stays."""
    state = HoldState(hold(c, name).state)
    if state is to:
        return
    values: dict[str, object] = {"state": moved_on(state, to)}
    if to is HoldState.COMMITTED:
        values["committed"] = True
    c.execute(update(t.holds).where(t.holds.c.name == name).values(values))
