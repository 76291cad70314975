"""`suan account`, `suan price`, `suan bill` and `suan ledger`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import click

from suanmesh.accounting.v1.accounting_service_pb2 import (
    CreditAccountRequest,
    GetAccountRequest,
    GetBillRequest,
    ListAccountsRequest,
    ListPostingsRequest,
    ListPriceBooksRequest,
)
from suanmesh.accounting.v1.usage_pb2 import Bill
from suanmesh.scheduler.v1.scheduler_service_pb2 import GetJobRequest
from suanmesh_cli import output, units
from suanmesh_cli.layout import Column
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.render.bill import ACCOUNT_COLUMNS
from suanmesh_cli.session import ITEMS_MAX, Session, command, each_of, full_name, listed, listing, reading
from suanmesh_cli.tables import table
from suanmesh_cli.texts import refusal
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

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
            found = await mesh.accounting.GetAccount(request, timeout=session.timeout_s)
            output.show_one(session.view, found, lambda: table(session.view, [found], ACCOUNT_COLUMNS))

        return await each_of(session, names, show)


@account.command("credit")
@click.argument("name", type=Name("accounts"))
@click.argument("amount")
@click.option("--request-id", default="", help="Repeat with the same one to credit no more than once.")
@command
async def credit(session: Session, name: str, amount: str, request_id: str) -> None:
    """Credit AMOUNT, such as 12.50, that was paid in from outside (operator)."""
    request = CreditAccountRequest(
        name=full_name("accounts", name), amount_micros=micros(amount), request_id=request_id
    )
    async with session.mesh() as mesh:
        credited = await mesh.accounting.CreditAccount(request, timeout=session.timeout_s)
    output.show_one(session.view, credited, lambda: table(session.view, [credited], ACCOUNT_COLUMNS))


@click.group(cls=Verbs)
def price() -> None:
    """Prices in force."""


@price.command("list")
@listing
async def list_prices(session: Session) -> None:
    """List the price books in force."""
    async with session.mesh() as mesh:
        found = await listed(session, mesh.accounting.ListPriceBooks, ListPriceBooksRequest(), "price_books")
    output.show_list(session.view, "price_books", found, PRICE_COLUMNS)


@click.group(cls=Verbs)
def bill() -> None:
    """Bills: what an account owes."""


@bill.command("show")
@click.option(
    "--account",
    "account_name",
    type=Name("accounts"),
    default="",
    help="The account; by default the context's, or your only one.",
)
@click.option("--job", "job_name", type=Name("jobs"), default="", help="Only what this job cost.")
@reading
async def show_bill(session: Session, account_name: str, job_name: str) -> None:
    """Show every charge with its unit price and its trace, and the sum."""
    job_name = full_name("jobs", job_name) if job_name else ""
    async with session.mesh() as mesh:
        owing = await _account(session, mesh, account_name, job_name)
        owed = await _all_charges(session, mesh, GetBillRequest(account=owing, job=job_name))

    def rendered() -> list[str]:
        from suanmesh_cli.render import bill as rendering

        return rendering.bill(session.view, owed)

    output.show_one(session.view, owed, rendered, zeros=True)


async def _all_charges(session: Session, mesh: Mesh, request: GetBillRequest) -> Bill:
    """The bill with the charges of all its pages, up to ITEMS_MAX; where there are more, a note says so."""
    owed = await mesh.accounting.GetBill(request, timeout=session.timeout_s)
    while owed.next_page_token and len(owed.charges) < ITEMS_MAX:
        request.page_token = owed.next_page_token
        page = await mesh.accounting.GetBill(request, timeout=session.timeout_s)
        owed.charges.extend(page.charges)
        owed.next_page_token = page.next_page_token
    if owed.next_page_token:
        output.note_more(session.view, len(owed.charges))
    return owed


@click.group(cls=Verbs)
def ledger() -> None:
    """The ledger: all balances together."""


@ledger.command("show")
@reading
async def show_ledger(session: Session) -> int:
    """Show all balances; they sum to zero in each currency, or the exit status is 1 (operator)."""
    from suanmesh_cli.render import bill as rendering

    async with session.mesh() as mesh:
        # Only the operator may read postings. Anybody else sees some accounts, and some accounts prove nothing.
        await mesh.accounting.ListPostings(ListPostingsRequest(page_size=1), timeout=session.timeout_s)
        found = await listed(session, mesh.accounting.ListAccounts, ListAccountsRequest(), "accounts")
    sums = rendering.sums(found)
    if session.view.for_people:
        output.print_lines(rendering.ledger(session.view, found))
    else:
        balances = {currency: str(sum_) for currency, sum_ in sums.items()}
        output.show_list(session.view, "accounts", found, ACCOUNT_COLUMNS, balance_micros=balances)
    return 1 if any(sums.values()) else 0


def micros(amount: str) -> int:
    """An amount as people write it, in 10^-6. Raises InvalidArgument where it is none, or finer than that."""
    try:
        exact = Decimal(amount) * 1_000_000
    except ArithmeticError:  # no number, or one beyond all bounds
        exact = Decimal("NaN")
    if not exact.is_finite() or exact != exact.to_integral_value() or not 0 < exact < 2**63:
        problem = Text(
            f"{amount[:40]!r} is not a positive amount with at most six decimals",
            f"{amount[:40]!r} 不是最多六位小数的正金额",
        )
        raise refusal(InvalidArgument, "FIELD_INVALID", problem, field="amount")
    return int(exact)


def _price(each: object) -> str:
    meter, amount, per = (getattr(each, name) for name in ("meter", "amount_micros", "per_quantity"))
    return f"{units.METERS.get(meter, meter)} {units.price(meter, amount, per)}"


async def _account(session: Session, mesh: Mesh, given: str, job: str) -> str:
    """The account meant: the one given, the job's, the context's, or the only one there is."""
    if given:
        return full_name("accounts", given)
    if job:
        return (await mesh.scheduler.GetJob(GetJobRequest(name=job), timeout=session.timeout_s)).account
    if session.context.account:
        return full_name("accounts", session.context.account)
    found = await listed(session, mesh.accounting.ListAccounts, ListAccountsRequest(), "accounts")
    if len(found) != 1:
        names = ", ".join(each.name for each in found)
        which = Text(
            f"say which account with --account; there are: {names or 'none'}",
            f"请用 --account 指明账户；现有：{names or '无'}",
        )
        raise refusal(FailedPrecondition, "ACCOUNT_AMBIGUOUS", which)
    return str(found[0].name)
