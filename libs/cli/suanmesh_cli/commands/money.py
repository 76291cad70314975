"""`suan account`, `suan price`, `suan bill` and `suan ledger`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import click

from suanmesh.accounting.v1.account_pb2 import Account
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
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.session import ITEMS_MAX, Session, command, full_name, listed
from suanmesh_cli.texts import refusal
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from suanmesh_sdk import Mesh

ACCOUNT_COLUMNS: output.Columns = (
    ("ACCOUNT", lambda account: account.name),
    ("PARTY", lambda account: account.party),
    ("KIND", lambda account: Account.Kind.Name(account.kind).removeprefix("KIND_")),
    ("BALANCE", lambda account: units.money(account.balance_micros, account.currency)),
    ("HELD", lambda account: units.money(account.held_micros)),
    ("OPENED", lambda account: units.moment(account.create_time)),
)
PRICE_COLUMNS: output.Columns = (
    ("PRICE BOOK", lambda book: book.name),
    ("VERSION", lambda book: str(book.version)),
    ("PARTY", lambda book: book.party),
    ("CURRENCY", lambda book: book.currency),
    ("IN FORCE SINCE", lambda book: units.moment(book.effective_time)),
    ("PRICES", lambda book: "; ".join(_price(each) for each in book.prices)),
)


@click.group(cls=Verbs)
def account() -> None:
    """Accounts: where a party's money stands."""


@account.command("list")
@command
async def list_accounts(session: Session) -> None:
    """List your accounts by name."""
    async with session.mesh() as mesh:
        found = await listed(mesh.accounting.ListAccounts, ListAccountsRequest(), "accounts", session.timeout_s)
    output.show_list(session.output, "accounts", found, ACCOUNT_COLUMNS)


@account.command("show")
@click.argument("name")
@command
async def show_account(session: Session, name: str) -> None:
    """Show the account NAME."""
    request = GetAccountRequest(name=full_name("accounts", name))
    async with session.mesh() as mesh:
        found = await mesh.accounting.GetAccount(request, timeout=session.timeout_s)
    output.show_one(session.output, found, lambda: output.table([found], ACCOUNT_COLUMNS))


@account.command("credit")
@click.argument("name")
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
    output.show_one(session.output, credited, lambda: output.table([credited], ACCOUNT_COLUMNS))


@click.group(cls=Verbs)
def price() -> None:
    """Prices in force."""


@price.command("list")
@command
async def list_prices(session: Session) -> None:
    """List the price books in force."""
    async with session.mesh() as mesh:
        found = await listed(mesh.accounting.ListPriceBooks, ListPriceBooksRequest(), "price_books", session.timeout_s)
    output.show_list(session.output, "price_books", found, PRICE_COLUMNS)


@click.group(cls=Verbs)
def bill() -> None:
    """Bills: what an account owes."""


@bill.command("show")
@click.option("--account", "account_name", default="", help="The account; by default the context's, or your only one.")
@click.option("--job", "job_name", default="", help="Only what this job cost.")
@command
async def show_bill(session: Session, account_name: str, job_name: str) -> None:
    """Show every charge with its unit price and its trace, and the sum."""
    job_name = full_name("jobs", job_name) if job_name else ""
    async with session.mesh() as mesh:
        owing = await _account(session, mesh, account_name, job_name)
        owed = await _all_charges(mesh, GetBillRequest(account=owing, job=job_name), session.timeout_s)

    def rendered() -> RenderableType:
        from suanmesh_cli.render import bill as rendering

        return rendering.bill(owed, session.lang)

    output.show_one(session.output, owed, rendered, zeros=True)


async def _all_charges(mesh: Mesh, request: GetBillRequest, timeout_s: float) -> Bill:
    """The bill with the charges of all its pages, up to ITEMS_MAX; where there are more, a note says so."""
    owed = await mesh.accounting.GetBill(request, timeout=timeout_s)
    while owed.next_page_token and len(owed.charges) < ITEMS_MAX:
        request.page_token = owed.next_page_token
        page = await mesh.accounting.GetBill(request, timeout=timeout_s)
        owed.charges.extend(page.charges)
        owed.next_page_token = page.next_page_token
    if owed.next_page_token:
        output.note_more(len(owed.charges))
    return owed


@click.group(cls=Verbs)
def ledger() -> None:
    """The ledger: all balances together."""


@ledger.command("show")
@command
async def show_ledger(session: Session) -> int:
    """Show all balances; they sum to zero in each currency, or the exit status is 1 (operator)."""
    from suanmesh_cli.render import bill as rendering

    async with session.mesh() as mesh:
        # Only the operator may read postings. Anybody else sees some accounts, and some accounts prove nothing.
        await mesh.accounting.ListPostings(ListPostingsRequest(page_size=1), timeout=session.timeout_s)
        found = await listed(mesh.accounting.ListAccounts, ListAccountsRequest(), "accounts", session.timeout_s)
    sums = rendering.sums(found)
    if session.output == "table":
        output.console().print(rendering.ledger(found, session.lang))
    else:
        balances = {currency: str(sum_) for currency, sum_ in sums.items()}
        output.show_list(session.output, "accounts", found, ACCOUNT_COLUMNS, balance_micros=balances)
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
    found = await listed(mesh.accounting.ListAccounts, ListAccountsRequest(), "accounts", session.timeout_s)
    if len(found) != 1:
        names = ", ".join(each.name for each in found)
        which = Text(
            f"say which account with --account; there are: {names or 'none'}",
            f"请用 --account 指明账户；现有：{names or '无'}",
        )
        raise refusal(FailedPrecondition, "ACCOUNT_AMBIGUOUS", which)
    return str(found[0].name)
