"""What finance types: budgets, prices, accounts."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import Result

from suanmesh.accounting.v1.account_pb2 import Account, Budget, PartyBudget
from suanmesh.accounting.v1.accounting_service_pb2 import (
    CloseAccountRequest,
    CreateAccountRequest,
    ListAccountsResponse,
    ListPartyBudgetsResponse,
    ListPriceBooksRequest,
    ListPriceBooksResponse,
    PublishPriceBookRequest,
    SetBudgetRequest,
    SetPartyBudgetRequest,
    SummarizeChargesResponse,
)
from suanmesh.accounting.v1.price_book_pb2 import PriceBook
from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.registry_service_pb2 import ListPartiesResponse
from suanmesh.type.v1.money_pb2 import METER_MEMORY_MIB_S, METER_TRANSFER_BYTES
from suanmesh_kernel.refusals import NotFound

Run = Callable[..., Awaitable[Result]]


async def test_a_budget_says_until_when_it_lasts(oracle: Any, run: Run) -> None:
    """A sweep that stops on Sunday because the money ran out could have been paid for on Friday."""
    accounts = [
        Account(name="accounts/a", kind=Account.KIND_CONSUMER, currency="CNY", balance_micros=100, held_micros=30),
        Account(name="accounts/income", kind=Account.KIND_PROVIDER, currency="CNY", balance_micros=9),
    ]
    oracle.answers["ListAccounts"] = ListAccountsResponse(accounts=accounts)
    oracle.answers["SummarizeCharges"] = SummarizeChargesResponse(total_micros=70)
    [row] = json.loads((await run("budget", "list", "-o", "json")).stdout)["budgets"]
    assert (row["left_micros"], row["spent_a_day_micros"]) == ("70", "10")
    lasts = datetime.fromisoformat(row["lasts_until"]) - datetime.now(UTC)
    assert timedelta(days=6, hours=23) < lasts <= timedelta(days=7)
    oracle.answers["SummarizeCharges"] = SummarizeChargesResponse()
    [row] = json.loads((await run("budget", "list", "-o", "json")).stdout)["budgets"]
    assert row["lasts_until"] == ""


async def test_a_budget_of_the_month_is_set_and_shown(oracle: Any, run: Run) -> None:
    """Who sets a bound in a currency's units must not bound, or free, a millionth or a million times of it."""
    hard = Budget(amount_micros=1_500_000, enforcement=Budget.ENFORCEMENT_HARD, month=209912, spent_micros=400_000)
    account = Account(
        name="accounts/a", kind=Account.KIND_CONSUMER, currency="CNY", balance_micros=9_000_000, held_micros=100_000,
        budget=hard,
    )  # fmt: skip
    oracle.answers |= {"SetBudget": account, "ListAccounts": ListAccountsResponse(accounts=[account])}
    oracle.answers["SummarizeCharges"] = SummarizeChargesResponse()
    assert (await run("budget", "set", "a", "1.5")).exit_code == 0
    assert (await run("budget", "set", "a", "2", "--soft")).exit_code == 0
    assert (await run("budget", "rm", "a")).exit_code == 0
    asked = [SetBudgetRequest.FromString(request) for method, request in oracle.asked if method == "SetBudget"]
    assert [(each.name, each.HasField("budget"), each.budget.amount_micros) for each in asked] == [
        ("accounts/a", True, 1_500_000), ("accounts/a", True, 2_000_000), ("accounts/a", False, 0),
    ]  # fmt: skip
    assert asked[1].budget.enforcement == Budget.ENFORCEMENT_SOFT
    [row] = json.loads((await run("budget", "list", "-o", "json")).stdout)["budgets"]
    assert [row[f"month_{name}"] for name in ("budget_micros", "left_micros", "enforcement")] == [
        "1500000", "1000000", "HARD",
    ]  # fmt: skip
    assert "1.000000" in (await run("budget", "list", "-o", "wide")).stdout


@pytest.mark.parametrize(
    ("amount", "micros"),
    [("0", 0), ("0.000001", 1), ("12.50", 12_500_000), ("1.0000000", 1_000_000), ("9223372036854.775807", 2**63 - 1)],
)
async def test_an_amount_is_taken_as_it_is_written(oracle: Any, run: Run, amount: str, micros: int) -> None:
    """What is typed is what is in the books, to the last digit; a budget of nothing stops an account from spending."""
    oracle.answers["SetBudget"] = Account(name="accounts/a")
    assert (await run("budget", "set", "a", amount)).exit_code == 0
    assert SetBudgetRequest.FromString(oracle.asked[-1][1]).budget.amount_micros == micros


@pytest.mark.parametrize(
    "amount", ["1." + "0" * 40 + "1", "1e-7", "1e-999999", "9223372036854.775808", "1e400", "nan", "-0.5", "1,5", ""]
)
async def test_an_amount_that_is_none_is_not_sent(oracle: Any, run: Run, amount: str) -> None:
    """Nothing of an amount is rounded away in silence."""
    assert (await run("budget", "set", "a", "--", amount)).exit_code == 2
    assert not oracle.asked


async def test_a_budget_of_a_party_is_set_shown_and_said_to_last(oracle: Any, run: Run) -> None:
    """A sum over accounts that leaves one out, or is set in another currency, is no bound at all."""
    month = Budget(
        amount_micros=10_000_000, enforcement=Budget.ENFORCEMENT_HARD, month=209912, spent_micros=400_000,
        held_micros=600_000,
    )  # fmt: skip
    bound = PartyBudget(party="parties/a", currency="CNY", budget=month)
    names = ("one", "two", "closed")
    accounts = [Account(name=f"accounts/{each}", party="parties/a", currency="CNY") for each in names]
    accounts[2].close_time.FromSeconds(1)
    strangers = [
        Account(name="accounts/b", party="parties/b", currency="USD"),
        Account(name="accounts/c", party="parties/b"),
    ]
    oracle.answers |= {
        "SetPartyBudget": bound,
        "ListAccounts": ListAccountsResponse(accounts=accounts + strangers),
        "ListPartyBudgets": ListPartyBudgetsResponse(budgets=[bound]),
        "SummarizeCharges": SummarizeChargesResponse(total_micros=700_000),
    }
    shown = await run("budget", "set", "a", "10", "--party")
    assert (shown.exit_code, "9.000000 CNY" in shown.stdout) == (0, True)
    assert (await run("budget", "set", "parties/a", "2", "--soft", "--currency", "USD")).exit_code == 0
    assert (await run("budget", "rm", "a", "--party")).exit_code == 0
    asked = [SetPartyBudgetRequest.FromString(body) for method, body in oracle.asked if method == "SetPartyBudget"]
    assert [(each.party, each.currency, each.HasField("budget"), each.budget.amount_micros) for each in asked] == [
        ("parties/a", "CNY", True, 10_000_000), ("parties/a", "USD", True, 2_000_000), ("parties/a", "CNY", False, 0),
    ]  # fmt: skip
    ambiguous = await run("budget", "set", "b", "10", "--party")
    assert (ambiguous.exit_code, "--currency" in ambiguous.stderr) == (5, True)
    assert (await run("budget", "rm", "nobody", "--party")).exit_code == 3
    [row] = json.loads((await run("budget", "list", "--party", "-o", "json")).stdout)["budgets"]
    told = ("month_budget_micros", "month_left_micros", "month_spent_micros", "held_micros", "spent_a_day_micros")
    assert [row[each] for each in told] == ["10000000", "9000000", "400000", "600000", "300000"]
    lasts = datetime.fromisoformat(row["lasts_until"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < lasts <= timedelta(days=30)
    oracle.answers["SummarizeCharges"] = SummarizeChargesResponse()
    [row] = json.loads((await run("budget", "list", "--party", "-o", "json")).stdout)["budgets"]
    assert row["lasts_until"] == row["renew_time"] == "2100-01-01T00:00:00Z"
    assert (await run("budget", "list", "--party", "-o", "name")).stdout == "parties/a\n"


async def test_a_price_is_set_without_losing_the_others(oracle: Any, run: Run) -> None:
    """Who makes memory dearer must not make processors free, nor undo what another sets at the same time."""
    oracle.answers["PublishPriceBook"] = PriceBook(name="priceBooks/a")
    oracle.answers["ListPriceBooks"] = ListPriceBooksResponse(price_books=[PriceBook(name="priceBooks/a")])
    done = await run("price", "set", "a", "transfer=free", "memory=0.0165/GiB-h")
    assert done.exit_code == 0, done.output
    assert [method for method, _ in oracle.asked] == ["PublishPriceBook"]
    sent = PublishPriceBookRequest.FromString(oracle.asked[-1][1])
    assert (sent.price_book_id, sent.price_book.party, sent.price_book.currency) == ("a", "", "")
    assert sent.keep_others
    assert [(each.meter, each.amount_micros, each.per_quantity) for each in sent.price_book.prices] == [
        (METER_MEMORY_MIB_S, 16_500, 1024 * 3600), (METER_TRANSFER_BYTES, 0, 1),
    ]  # fmt: skip
    for wrong in ("cpu=1", "cpu=1/hour", "gpu=1/core-h", "cpu=0.0000001/core-h"):
        refused = await run("price", "set", "a", wrong)
        assert (refused.exit_code, oracle.asked[-1][0]) == (2, "PublishPriceBook")
    twice = await run("price", "set", "a", "cpu=1/core-h", "cpu=2/core-h")
    assert (twice.exit_code, len(oracle.asked)) == (2, 1)
    assert "'cpu' comes twice" in twice.stderr
    history = await run("price", "history", "a")
    assert history.exit_code == 0
    assert ListPriceBooksRequest.FromString(oracle.asked[-1][1]).all_versions


@pytest.mark.parametrize(
    "words",
    [("account", "create", "a", "--party", "typo", "--currency", "CNY"),
     ("price", "set", "a", "cpu=1/core-h", "--party", "typo", "--currency", "CNY")],
)  # fmt: skip
async def test_nobody_who_is_mistyped_gets_money(oracle: Any, run: Run, words: tuple[str, ...]) -> None:
    """What is earned by a party that there is not is on an account that nobody can use."""
    oracle.answers["GetParty"] = NotFound("PARTY_UNKNOWN", "no party parties/typo", name="parties/typo")
    oracle.answers["ListParties"] = ListPartiesResponse(parties=[Party(name="parties/typos")])
    done = await run(*words)
    assert (done.exit_code, "parties/typos" in done.stderr) == (3, True)
    assert {method for method, _ in oracle.asked} == {"GetParty", "ListParties"}


async def test_an_account_is_opened_and_closed(oracle: Any, run: Run) -> None:
    """Opening an account for a customer must not take a script."""
    oracle.answers["CreateAccount"] = oracle.answers["CloseAccount"] = Account(name="accounts/a")
    oracle.answers["GetParty"] = Party(name="parties/acme")
    assert (await run("account", "create", "a", "--party", "acme", "--currency", "CNY", "-o", "name")).stdout == (
        "accounts/a\n"
    )
    made = CreateAccountRequest.FromString(oracle.asked[-1][1])
    assert (made.account_id, made.account.party, made.account.kind) == ("a", "parties/acme", Account.KIND_CONSUMER)
    assert made.request_id
    assert (await run("account", "close", "accounts/a")).exit_code == 0
    assert CloseAccountRequest.FromString(oracle.asked[-1][1]).name == "accounts/a"
