"""Accounts, price books and holds: what each command does to the books of a session."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import bindparam, func, select

from suanmesh_accounting.domain.commands import (
    CloseAccount,
    CreditAccount,
    MoveHold,
    OpenAccount,
    PlaceHold,
    PublishBook,
    Published,
)
from suanmesh_accounting.domain.ledger import (
    Account,
    AccountKind,
    Hold,
    HoldState,
    entry,
    moved_on,
    require_closable,
    require_free,
    require_open,
    require_payable,
)
from suanmesh_accounting.domain.prices import Book
from suanmesh_accounting.ledger import tables as t
from suanmesh_accounting.ledger.budgets import require_within_budgets
from suanmesh_accounting.ledger.session import Session
from suanmesh_accounting.wire import changed_book, stored_book
from suanmesh_kernel.refusals import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted

BALANCE_MICROS_MAX = 9 * 10**18
"""Room that a 64-bit balance leaves for the charges of a lifetime."""
PARTY_ACCOUNTS_MAX = 1000
PRICE_BOOKS_MAX = 10_000
PRICE_BOOK_VERSIONS_MAX = 10_000


def open_account(session: Session, command: OpenAccount) -> Account:
    """Open an account with nothing in it."""
    if session.account(command.name) is not None:
        raise AlreadyExists("ACCOUNT_EXISTS", f"{command.name} is there already", name=command.name)
    has = session.connection.execute(select(func.count()).where(t.accounts.c.party == command.party)).scalar_one()
    has += session.opened_of(command.party)
    if has >= PARTY_ACCOUNTS_MAX:
        message = f"{command.party} has {has} accounts, at most {PARTY_ACCOUNTS_MAX} are allowed"
        raise ResourceExhausted("ACCOUNTS_TOO_MANY", message, name=command.party, most=PARTY_ACCOUNTS_MAX)
    account = Account(command.name, command.party, command.currency, command.kind, 0, 0, command.create_us)
    session.open_account(account)
    return account


def credit_account(session: Session, command: CreditAccount) -> Account:
    """Credit money against the funding account of its currency."""
    amount = command.amount_micros
    if amount <= 0:
        raise InvalidArgument("FIELD_INVALID", f"amount_micros: {amount} is not positive", field="amount_micros")
    currency = existing(session, command.name).currency
    funding = session.account_for(command.operator, AccountKind.FUNDING, currency, command.post_us)
    session.lock_accounts({funding, command.name})
    require_open(existing(session, command.name))
    most = BALANCE_MICROS_MAX - max(
        existing(session, command.name).balance_micros, -existing(session, funding).balance_micros
    )
    if amount > most:
        problem = f"amount_micros: {amount} is more than the books can hold; at most {most} can be added"
        raise InvalidArgument("FIELD_INVALID", problem, field="amount_micros")
    session.post(entry(funding, command.name, amount, currency), command.entry, command.post_us)
    session.move_money(funding, balance_micros=-amount)
    session.move_money(command.name, balance_micros=amount)
    return existing(session, command.name)


def close_account(session: Session, command: CloseAccount) -> Account:
    """Pay out what an account has, and close it."""
    account = existing(session, command.name)
    if account.kind is AccountKind.FUNDING:
        raise InvalidArgument("FIELD_INVALID", f"name: {command.name} is where money comes from", field="name")
    funding = session.account_for(command.operator, AccountKind.FUNDING, account.currency, command.post_us)
    session.lock_accounts({funding, command.name})
    account = existing(session, command.name)
    require_closable(account)
    if left := account.balance_micros:
        session.post(entry(command.name, funding, left, account.currency), command.entry, command.post_us)
        session.move_money(command.name, balance_micros=-left)
        session.move_money(funding, balance_micros=left)
    return session.close_account(command.name, command.post_us)


def publish_book(session: Session, command: PublishBook) -> Published:
    """Put the next version of a book into force, made of the one before where that is to be kept."""
    before = version_in_force(session, command.name)
    version, document = before + 1, command.document
    if command.keep_others:
        document = changed_book(_document_of(session, command.name, before) or b"", document)
    if version > PRICE_BOOK_VERSIONS_MAX:
        message = f"{command.name} has {PRICE_BOOK_VERSIONS_MAX} versions; begin another book"
        raise ResourceExhausted("PRICE_BOOKS_TOO_MANY", message, name=command.name, most=PRICE_BOOK_VERSIONS_MAX)
    if version == 1:
        _require_room_for_book(session, command.name)
    session.add(t.price_books, {"name": command.name, "version": version, "document": document})
    session.in_force[command.name] = version
    session.published[command.name, version] = stored_book(document, version)
    session.documents[command.name, version] = document
    return Published(version, document)


def _require_room_for_book(session: Session, name: str) -> None:
    has = session.connection.execute(select(func.count(t.price_books.c.name.distinct()))).scalar_one()
    if has >= PRICE_BOOKS_MAX:
        message = f"there are {has} price books, at most {PRICE_BOOKS_MAX} are allowed"
        raise ResourceExhausted("PRICE_BOOKS_TOO_MANY", message, name=name, most=PRICE_BOOKS_MAX)


def place_hold(session: Session, command: PlaceHold) -> Hold:
    """Promise money to a placement, or give the hold that stands for it."""
    standing = session.hold(command.name)
    if standing is not None and standing.state is not HoldState.RELEASED:
        return standing
    if standing is not None and standing.committed:
        raise FailedPrecondition("HOLD_LAPSED", f"{command.name} was given back already", name=command.name)
    account = existing(session, command.account)
    require_open(account)
    book = book_of(session, command.price_book, version_in_force(session, command.price_book))
    require_payable(account, book.currency)
    require_free(account, command.amount_micros)
    require_within_budgets(session, account, command.amount_micros, command.create_us)
    hold = Hold(
        name=command.name,
        account=command.account,
        placement=command.placement,
        position=command.position,
        job=command.job,
        site=command.site,
        amount_micros=command.amount_micros,
        charged_micros=0,
        state=HoldState.HELD,
        committed=False,
        ask=command.ask,
        price_version=book.version,
        trace_id=command.trace_id,
        create_us=command.create_us,
    )
    session.set_hold(hold)
    return hold


def move_hold(session: Session, command: MoveHold) -> None:
    """Bring a hold to its next state, unless it has been moved since it was seen."""
    hold = session.hold(command.name)
    if hold is None:
        raise FailedPrecondition("HOLD_LAPSED", f"no hold {command.name}", name=command.name)
    if command.seen in (None, hold.state):
        move_on(session, hold, command.to)


def move_on(session: Session, hold: Hold, to: HoldState) -> Hold:
    """The hold in another state, in the books too; one that is there already stays."""
    if hold.state is to:
        return hold
    moved = replace(hold, state=moved_on(hold.state, to), committed=hold.committed or to is HoldState.COMMITTED)
    session.set_hold(moved)
    return moved


def existing(session: Session, name: str) -> Account:
    """One account. Raises NotFound (`ACCOUNT_UNKNOWN`)."""
    account = session.account(name)
    if account is None:
        raise NotFound("ACCOUNT_UNKNOWN", f"no account {name}", name=name)
    return account


def version_in_force(session: Session, name: str) -> int:
    """The newest version of a book; 0 where there is none."""
    if name not in session.in_force:
        session.in_force[name] = session.connection.execute(_NEWEST_VERSION, {"name": name}).scalar() or 0
    return session.in_force[name]


def book_of(session: Session, name: str, version: int) -> Book:
    """One version of a book. Raises NotFound (`PRICE_UNKNOWN`)."""
    if (published := session.published.get((name, version))) is not None:
        return published
    if (name, version) not in session.books:
        document = _document_of(session, name, version)
        if document is None:
            raise NotFound("PRICE_UNKNOWN", f"no price book {name}", name=name)
        session.books[name, version] = stored_book(document, version)
    return session.books[name, version]


def _document_of(session: Session, name: str, version: int) -> bytes | None:
    """The message of a version; None where there is none."""
    if (published := session.documents.get((name, version))) is not None:
        return published
    columns = t.price_books.c
    query = select(columns.document).where(columns.name == name, columns.version == version)
    document: bytes | None = session.connection.execute(query).scalar()
    return document


_NEWEST_VERSION = select(func.max(t.price_books.c.version)).where(t.price_books.c.name == bindparam("name"))
