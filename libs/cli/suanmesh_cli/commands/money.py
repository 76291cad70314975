"""`suan account`, `suan price` and `suan ledger`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from suanmesh.accounting.v1.account_pb2 import Account
from suanmesh.accounting.v1.accounting_service_pb2 import (
    CloseAccountRequest,
    CreateAccountRequest,
    CreditAccountRequest,
    GetAccountRequest,
    ListAccountsRequest,
    ListPriceBooksRequest,
    PublishPriceBookRequest,
)
from suanmesh.accounting.v1.price_book_pb2 import PriceBook
from suanmesh.registry.v1.registry_service_pb2 import GetPartyRequest, ListPartiesRequest
from suanmesh.type.v1.money_pb2 import Price
from suanmesh_cli import output, units
from suanmesh_cli.declared import FILE, declared
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.render.bill import ACCOUNT_COLUMNS
from suanmesh_cli.session import Session, command, each_of, full_name, listed, listing, reading
from suanmesh_cli.tables import table
from suanmesh_cli.texts import refusal
from suanmesh_cli.usage import Misuse
from suanmesh_kernel.refusals import InvalidArgument, NotFound
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

REPEAT = "Repeat with the same one to do it no more than once."
FREE = "free"
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow])
"""Nothing of an amount is rounded away in silence."""


def _price(each: object) -> str:
    meter, amount, per = (getattr(each, name) for name in ("meter", "amount_micros", "per_quantity"))
    return f"{units.METERS.get(meter, meter)} {units.price(meter, amount, per)}"


PRICE_COLUMNS = (
    Column("PRICE BOOK", lambda book: book.name),
    Column("VERSION", lambda book: book.version, rank=1),
    Column("PARTY", lambda book: book.party, rank=3),
    Column("CURRENCY", lambda book: book.currency, rank=1),
    Column("IN FORCE SINCE", lambda book: book.effective_time, rank=2),
    Column("PRICES", lambda book: "; ".join(_price(each) for each in book.prices), fold=True),
)


@click.group(cls=Verbs)
def account() -> None:
    """Accounts: where a party's money stands."""


@account.command("list")
@listing
async def list_accounts(session: Session) -> None:
    """List your accounts by name."""
    async with session.mesh() as mesh:
        found = await listed(session, mesh.accounting.ListAccounts, ListAccountsRequest(), "accounts")
    output.show_list(session.view, "accounts", found, ACCOUNT_COLUMNS)


@account.command("show")
@click.argument("names", type=Name("accounts"), nargs=-1, required=True)
@reading
async def show_account(session: Session, names: tuple[str, ...]) -> int:
    """Show the accounts NAMES."""
    async with session.mesh() as mesh:

        async def show(name: str) -> None:
            request = GetAccountRequest(name=full_name("accounts", name))
            print_account(session, await mesh.accounting.GetAccount(request, timeout=session.timeout_s))

        return await each_of(session, names, show)


@account.command("create")
@click.argument("name")
@click.option("--party", type=Name("parties"), required=True, help="Party it belongs to, such as parties/acme.")
@click.option("--currency", required=True, help="ISO 4217 code, such as CNY.")
@click.option(
    "--kind",
    type=click.Choice(("consumer", "provider")),
    default="consumer",
    help="Pays for jobs, or earns from usage.",
)
@click.option("--request-id", default="", help=REPEAT)
@command
async def create_account(session: Session, name: str, party: str, currency: str, kind: str, request_id: str) -> None:
    """Open the account NAME with nothing in it (operator)."""
    made = Account(
        party=full_name("parties", party), currency=currency, kind=Account.Kind.Value(f"KIND_{kind.upper()}")
    )
    request = CreateAccountRequest(account_id=units.short(name), account=made, request_id=request_id)
    async with session.mesh() as mesh:
        await _require_party(session, mesh, made.party)
        print_account(session, await mesh.accounting.CreateAccount(request, timeout=session.timeout_s))


@account.command("credit")
@click.argument("name", type=Name("accounts"))
@click.argument("amount")
@click.option("--request-id", default="", help=REPEAT)
@command
async def credit(session: Session, name: str, amount: str, request_id: str) -> None:
    """Credit AMOUNT, such as 12.50, that was paid in from outside (operator)."""
    request = CreditAccountRequest(
        name=full_name("accounts", name), amount_micros=micros(amount), request_id=request_id
    )
    async with session.mesh() as mesh:
        print_account(session, await mesh.accounting.CreditAccount(request, timeout=session.timeout_s))


@account.command("close")
@click.argument("name", type=Name("accounts"))
@click.option("--request-id", default="", help=REPEAT)
@command
async def close_account(session: Session, name: str, request_id: str) -> None:
    """Pay out what the account NAME has left, and close it for good (operator)."""
    request = CloseAccountRequest(name=full_name("accounts", name), request_id=request_id)
    async with session.mesh() as mesh:
        print_account(session, await mesh.accounting.CloseAccount(request, timeout=session.timeout_s))


@click.group(cls=Verbs)
def price() -> None:
    """Prices: what is in force, and what was."""


@price.command("list")
@listing
async def list_prices(session: Session) -> None:
    """List the price books in force."""
    async with session.mesh() as mesh:
        found = await listed(session, mesh.accounting.ListPriceBooks, ListPriceBooksRequest(), "price_books")
    output.show_list(session.view, "price_books", found, PRICE_COLUMNS)


@price.command("show")
@click.argument("names", type=Name("priceBooks"), nargs=-1, required=True)
@reading
async def show_price(session: Session, names: tuple[str, ...]) -> int:
    """Show the price books NAMES as they are in force."""

    async with session.mesh() as mesh:

        async def show(name: str) -> None:
            book = await _in_force(session, mesh, full_name("priceBooks", name))
            if book is None:
                raise unknown(name)
            output.show_one(session.view, book, lambda: table(session.view, [book], PRICE_COLUMNS), PRICE_COLUMNS)

        return await each_of(session, names, show)


@price.command("history")
@click.argument("name", type=Name("priceBooks"))
@listing
async def price_history(session: Session, name: str) -> None:
    """List every version of the price book NAME, the oldest first."""
    request = ListPriceBooksRequest(price_book=full_name("priceBooks", name), all_versions=True)
    async with session.mesh() as mesh:
        found = await listed(session, mesh.accounting.ListPriceBooks, request, "price_books")
    if not found:
        raise unknown(name)
    output.show_list(session.view, "price_books", found, PRICE_COLUMNS)


@price.command("set")
@click.argument("name", type=Name("priceBooks"), required=False, default="")
@click.argument("prices", nargs=-1, metavar="[METER=AMOUNT/UNIT]...")
@click.option("--party", type=Name("parties"), default="", help="Party that earns; as before where the book is there.")
@click.option("--currency", default="", help="ISO 4217 code; as before where the book is there.")
@click.option("--request-id", default="", help=REPEAT)
@FILE
@command
async def set_prices(session: Session, file: Path | None, **given: Any) -> int:
    """Put prices of the book NAME into force, or of each book of -f FILE; others stay (operator).

    For example: cpu=0.165/core-h memory=0.0165/GiB-h transfer=0.02/GB device=free, or in the file
    price-books: [{name: a, party: b, currency: CNY, prices: {cpu: 0.165/core-h}}]
    """
    ctx = click.get_current_context()
    wanted = {each["name"]: each for each in declared(ctx, file, "price-books", given)}
    changes = {name: _changed(each["prices"]) for name, each in wanted.items()}
    for name, change in changes.items():
        if not name or not change:
            raise Misuse(Text(f"No prices for {name}.", f"{name} 没有价格。"), ctx)
    async with session.mesh() as mesh:

        async def publish(name: str) -> None:
            each = wanted[name]
            party = full_name("parties", each["party"]) if each["party"] else ""
            if party:
                await _require_party(session, mesh, party)
            book = PriceBook(
                party=party,
                currency=each["currency"],
                prices=changes[name],
            )
            request = PublishPriceBookRequest(
                price_book_id=units.short(full_name("priceBooks", name)),
                price_book=book,
                request_id=each["request_id"],
                keep_others=True,
            )
            done = await mesh.accounting.PublishPriceBook(request, timeout=session.timeout_s)
            output.show_one(session.view, done, lambda: table(session.view, [done], PRICE_COLUMNS), PRICE_COLUMNS)

        return await each_of(session, tuple(wanted), publish)


@click.group(cls=Verbs)
def ledger() -> None:
    """The ledger: all balances together."""


@ledger.command("show")
@reading
async def show_ledger(session: Session) -> int:
    """Show all balances; they sum to zero in each currency, or the exit status is 1 (operator)."""
    from suanmesh_cli.render import bill as rendering

    async with session.mesh() as mesh:
        # Only the operator may read parties. Anybody else sees some accounts, and some accounts prove nothing.
        await mesh.registry.ListParties(ListPartiesRequest(page_size=1), timeout=session.timeout_s)
        found = await listed(session, mesh.accounting.ListAccounts, ListAccountsRequest(), "accounts")
    sums = rendering.sums(found)
    if session.view.for_people:
        output.print_lines(rendering.ledger(session.view, found))
    else:
        balances = {currency: str(sum_) for currency, sum_ in sums.items()}
        output.show_list(session.view, "accounts", found, ACCOUNT_COLUMNS, balance_micros=balances)
    return 1 if any(sums.values()) else 0


def micros(amount: str, *, least: int = 1) -> int:
    """An amount as people write it, in 10^-6. Raises InvalidArgument where it is none, finer, or below `least`."""
    try:
        exact = _EXACT.multiply(Decimal(amount), Decimal(1_000_000))
    except ArithmeticError:  # no number, one beyond all bounds, or with more digits than any amount has
        exact = Decimal("NaN")
    if not exact.is_finite() or exact != exact.to_integral_value() or not least <= exact < 2**63:
        problem = Text(
            f"{amount[:40]!r} is not a {'positive ' if least else ''}amount with at most six decimals",
            f"{amount[:40]!r} 不是最多六位小数的{'正' if least else ''}金额",
        )
        raise refusal(InvalidArgument, "FIELD_INVALID", problem, field="amount")
    return int(exact)


def unknown(name: str) -> NotFound:
    """The answer about a price book that is not there."""
    text = Text(f"there is no price book {name}", f"没有价目 {name}")
    return refusal(NotFound, "PRICE_UNKNOWN", text, name=name)


def print_account(session: Session, shown: Account) -> None:
    """Show one account."""
    output.show_one(session.view, shown, lambda: table(session.view, [shown], ACCOUNT_COLUMNS), ACCOUNT_COLUMNS)


async def _require_party(session: Session, mesh: Mesh, party: str) -> None:
    """Raises NotFound (`PARTY_UNKNOWN`) where nobody has that name: its money would be nobody's."""
    await mesh.registry.GetParty(GetPartyRequest(name=party), timeout=session.timeout_s)


async def _in_force(session: Session, mesh: Mesh, name: str) -> PriceBook | None:
    """The version of a price book in force; None where there is no such book."""
    found = await mesh.accounting.ListPriceBooks(ListPriceBooksRequest(price_book=name), timeout=session.timeout_s)
    return found.price_books[0] if found.price_books else None


def _changed(prices: Sequence[str]) -> list[Price]:
    """The prices given, by meter. Raises InvalidArgument, also for a meter that is given twice."""
    given = [price_given(each) for each in prices]
    for number, price in enumerate(given):
        if price.meter in [each.meter for each in given[:number]]:
            word = prices[number].partition("=")[0]
            twice = Text(f"{word[:60]!r} comes twice", f"{word[:60]!r} 出现两次")
            raise refusal(InvalidArgument, "FIELD_INVALID", twice, field="prices")
    return sorted(given, key=lambda price: price.meter)


def price_given(text: str) -> Price:
    """The price of a meter; of one that is free an amount of 0. Raises InvalidArgument."""
    word, _, said = text.partition("=")
    amount, _, unit = said.partition("/")
    meter = next((number for number, known in units.METERS.items() if known == word.strip()), 0)
    plain = unit.strip().replace("-", "·").replace(".", "·")
    pairs = [per for (of, per), known in units.PRICE_UNITS.items() if of == meter and known == plain]
    if meter and said.strip() == FREE:
        return Price(meter=meter, per_quantity=1)  # type: ignore[arg-type]
    if not meter or not pairs:
        known = ", ".join(
            f"{units.METERS[of]}=…/{each.replace('·', '-')}" for (of, _), each in units.PRICE_UNITS.items()
        )
        problem = Text(f"{text[:60]!r} is no price; there are {known}", f"{text[:60]!r} 不是价格；可用：{known}")
        raise refusal(InvalidArgument, "FIELD_INVALID", problem, field="prices")
    return Price(meter=meter, amount_micros=micros(amount.strip()), per_quantity=pairs[0])  # type: ignore[arg-type]
