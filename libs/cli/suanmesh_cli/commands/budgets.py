"""`suan budget`: what accounts and parties may spend in a month, what is left of it, and how long that lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from suanmesh.accounting.v1.account_pb2 import Account, Budget, PartyBudget
from suanmesh.accounting.v1.accounting_service_pb2 import (
    ListAccountsRequest,
    ListPartyBudgetsRequest,
    SetBudgetRequest,
    SetPartyBudgetRequest,
    SummarizeChargesRequest,
)
from suanmesh_cli import output, periods
from suanmesh_cli.commands.money import REPEAT, micros, print_account
from suanmesh_cli.lazy import Verbs
from suanmesh_cli.names import Name
from suanmesh_cli.render import budgets as rendering
from suanmesh_cli.session import Session, command, full_name, listed, listing
from suanmesh_cli.texts import refusal
from suanmesh_cli.usage import Duration
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.refusals import FailedPrecondition, NotFound
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

CALLS_AT_A_TIME = 16
OF_PARTY = "NAME is a party: its accounts together."
CURRENCY = "ISO 4217 code; needed where the party has accounts in several."


@click.group(cls=Verbs)
def budget() -> None:
    """Budgets: what accounts have left, and until when it lasts."""


@budget.command("list")
@click.option("--party", "of_parties", is_flag=True, help="Those of parties over all their accounts.")
@click.option("--over", "over_s", type=Duration(), default="7d", show_default=True, help="Time the rate is taken over.")
@listing
async def list_budgets(session: Session, of_parties: bool, over_s: float) -> None:
    """List what each account has, what of it is held, and until when the rest lasts at the rate of late."""
    now = SystemClock().now()
    async with session.mesh() as mesh:
        if of_parties:
            found = await listed(session, mesh.accounting.ListPartyBudgets, ListPartyBudgetsRequest(), "budgets")
            keys = {(each.party, each.currency) for each in found}
            accounts = await _accounts(mesh, session) if keys else []
            paying = [each for each in accounts if (each.party, each.currency) in keys]
        else:
            found = await listed(session, mesh.accounting.ListAccounts, ListAccountsRequest(), "accounts")
            paying = [each for each in found if each.kind == Account.KIND_CONSUMER and not each.HasField("close_time")]
        spent = await _spent(session, mesh, paying, now, over_s)
    if of_parties:
        of = [sum(spent[account.name] for account in paying if _is_of(account, each)) for each in found]
        rows = [rendering.of_party(each, used, over_s, now) for each, used in zip(found, of, strict=True)]
        columns = rendering.PARTY_COLUMNS
    else:
        rows = [rendering.of_account(each, spent[each.name], over_s, now) for each in paying]
        columns = rendering.COLUMNS
    output.show_list(session.view, "budgets", rows, columns, name=lambda row: str(row.get("party") or row["account"]))


@budget.command("set")
@click.argument("name", type=Name("accounts"))
@click.argument("amount")
@click.option("--soft", is_flag=True, help="Only tell: jobs are placed beyond it.")
@click.option("--party", "of_party", is_flag=True, help=OF_PARTY)
@click.option("--currency", default="", help=CURRENCY)
@click.option("--request-id", default="", help=REPEAT)
@command
async def set_budget(
    session: Session, name: str, amount: str, soft: bool, of_party: bool, currency: str, request_id: str
) -> None:
    """Let the account NAME spend at most AMOUNT in a calendar month (UTC); jobs beyond it wait for the next one."""
    kind = Budget.ENFORCEMENT_SOFT if soft else Budget.ENFORCEMENT_HARD
    bound = Budget(amount_micros=micros(amount, least=0), enforcement=kind)
    await _set_budget(session, name, bound, of_party=of_party, currency=currency, request_id=request_id)


@budget.command("rm")
@click.argument("name", type=Name("accounts"))
@click.option("--party", "of_party", is_flag=True, help=OF_PARTY)
@click.option("--currency", default="", help=CURRENCY)
@click.option("--request-id", default="", help=REPEAT)
@command
async def remove_budget(session: Session, name: str, of_party: bool, currency: str, request_id: str) -> None:
    """Let the account NAME spend what it has, in any month."""
    await _set_budget(session, name, None, of_party=of_party, currency=currency, request_id=request_id)


async def _set_budget(
    session: Session, name: str, bound: Budget | None, *, of_party: bool, currency: str, request_id: str
) -> None:
    async with session.mesh() as mesh:
        if not (of_party or name.startswith("parties/")):
            request = SetBudgetRequest(name=full_name("accounts", name), budget=bound, request_id=request_id)
            print_account(session, await mesh.accounting.SetBudget(request, timeout=session.timeout_s))
            return
        party = full_name("parties", name)
        currency = currency or await _currency(session, mesh, party)
        asked = SetPartyBudgetRequest(party=party, currency=currency, budget=bound, request_id=request_id)
        made = await mesh.accounting.SetPartyBudget(asked, timeout=session.timeout_s)
    output.show_one(
        session.view, made, lambda: rendering.told(session.view, made, SystemClock().now()), names=[made.party]
    )


async def _currency(session: Session, mesh: Mesh, party: str) -> str:
    """The only currency that a party has accounts in. Raises NotFound for none, FailedPrecondition for several."""
    found = sorted({each.currency for each in await _accounts(mesh, session) if each.party == party})
    if not found:
        none = Text(f"{party} has no account", f"{party} 没有账户")
        raise refusal(NotFound, "ACCOUNT_UNKNOWN", none, name=party)
    if len(found) > 1:
        names = ", ".join(found)
        which = Text(f"say which currency with --currency: {names}", f"请用 --currency 指明币种：{names}")
        raise refusal(FailedPrecondition, "ACCOUNT_AMBIGUOUS", which, name=party)
    return found[0]


async def _accounts(mesh: Mesh, session: Session) -> list[Account]:
    """All accounts there are, page by page: sums over them must leave none out."""
    request, found = ListAccountsRequest(page_size=1000), list[Account]()
    while True:
        answer = await mesh.accounting.ListAccounts(request, timeout=session.timeout_s)
        found += answer.accounts
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


async def _spent(
    session: Session, mesh: Mesh, accounts: Iterable[Account], now: datetime, over_s: float
) -> dict[str, int]:
    """By account, what it was charged of late, in 10^-6 of its currency."""
    since = periods.moment((now - timedelta(seconds=over_s)).isoformat(), now, UTC)
    turns = asyncio.Semaphore(CALLS_AT_A_TIME)

    async def spent(account: Account) -> tuple[str, int]:
        by = SummarizeChargesRequest.GROUP_BY_METER
        request = SummarizeChargesRequest(account=account.name, group_by=by, start_time=since)
        async with turns:
            answer = await mesh.accounting.SummarizeCharges(request, timeout=session.timeout_s)
        return account.name, int(answer.total_micros)

    return dict(await asyncio.gather(*map(spent, accounts)))


def _is_of(account: Account, bound: PartyBudget) -> bool:
    return (account.party, account.currency) == (bound.party, bound.currency)
