"""Accounts, prices, quotes and every list, behind the real wrapper."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from suanmesh.accounting.v1 import account_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1.price_book_pb2 import PriceBook
from suanmesh.accounting.v1.usage_pb2 import MeterReading
from suanmesh.type.v1.money_pb2 import METER_CPU_US, METER_MEMORY_MIB_S, METER_TRANSFER_BYTES, Price
from suanmesh_chassis.identity import user_id
from suanmesh_chassis.testing import NODE
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk.status import refusal_of

KINDS = account_pb2.Account.Kind


async def test_an_account_is_seen_by_its_party_alone(books: Any) -> None:
    """What a competitor has to spend is nobody else's business, not even that there is an account."""
    for mesh in (books.user, books.operator, books.scheduler):
        found = await mesh.accounting.GetAccount(pb.GetAccountRequest(name="accounts/acme"))
        assert (found.balance_micros, found.held_micros, found.currency) == (1000, 0, "CNY")
    for call, request in (
        ("GetAccount", pb.GetAccountRequest(name="accounts/acme")),
        ("GetAccount", pb.GetAccountRequest(name="accounts/none")),
        ("GetBill", pb.GetBillRequest(account="accounts/acme")),
    ):
        with pytest.raises(Refusal) as refused:
            await getattr(books.stranger.accounting, call)(request)
        assert (refused.value.code, refused.value.reason) == ("NOT_FOUND", "ACCOUNT_UNKNOWN")
    await books.place("p", 10)
    await books.use("a", "p", 5)
    listings = [("ListAccounts", "accounts"), ("ListHolds", "holds"), ("ListUsage", "usage")]
    for call, rows in listings:
        request = getattr(pb, f"{call}Request")()
        assert len(getattr(await getattr(books.user.accounting, call)(request), rows)) == 1
        assert not getattr(await getattr(books.stranger.accounting, call)(request), rows)


async def test_who_earns_sees_what_it_has_earned_and_no_more(books: Any) -> None:
    """A provider that sees its balance alone cannot tell of which usage it is, nor that some of it was never paid."""
    await books.place("p", 100)
    await books.use("a", "p", 5)
    await books.use("a", "p", 7)
    provider = books.as_(user_id(NODE, "a-power", "eve"))
    postings = (await provider.accounting.ListPostings(pb.ListPostingsRequest())).postings
    [account] = (await provider.accounting.ListAccounts(pb.ListAccountsRequest())).accounts
    assert [(each.account, each.amount_micros) for each in postings] == [(account.name, 5), (account.name, 7)]
    assert sum(each.amount_micros for each in postings) == account.balance_micros
    [charge, _] = (await books.bill()).charges
    assert postings[0].entry == charge.entry
    theirs = pb.ListPostingsRequest(account="accounts/acme")
    assert not (await provider.accounting.ListPostings(theirs)).postings
    assert not (await books.stranger.accounting.ListPostings(pb.ListPostingsRequest())).postings
    paid = (await books.user.accounting.ListPostings(theirs)).postings
    assert sum(each.amount_micros for each in paid) == (await books.account()).balance_micros


@pytest.mark.parametrize("call", ["CreateAccount", "CreditAccount", "PublishPriceBook", "PlaceHolds", "RecordUsage"])
async def test_a_user_changes_nothing_in_the_books(books: Any, call: str) -> None:
    """A party that could credit itself would not need to pay."""
    with pytest.raises(Refusal, match="ROLE_DENIED"):
        await getattr(books.user.accounting, call)(getattr(pb, f"{call}Request")())


async def test_a_credit_that_is_repeated_counts_once(books: Any) -> None:
    """An operator whose connection broke repeats the call; the customer must not be rich by that."""
    first = await books.credit("acme", 500, "again")
    assert first.balance_micros == 1500
    assert await books.credit("acme", 500, "again") == first
    await books.credit("acme", 1, "another")
    assert await books.credit("acme", 500, "again") == first
    with pytest.raises(Refusal) as refused:
        await books.credit("acme", 501, "again")
    assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert (await books.account()).balance_micros == 1501
    await books.assert_balanced()


async def test_the_same_credit_sent_twice_at_once_counts_once(books: Any) -> None:
    """A client that hedges a slow call must get one answer, not one answer and our bug."""
    answers = await asyncio.gather(*(books.credit("acme", 500, "hedged") for _ in range(8)))
    assert {answer.balance_micros for answer in answers} == {1500}
    await books.assert_balanced()


async def test_an_account_that_is_opened_again_is_the_same_one(books: Any) -> None:
    """A founding script runs twice; what is another request must not be taken for it."""
    assert (await books.open_account()).balance_micros == 0
    with pytest.raises(Refusal, match="REQUEST_ID_REUSED"):
        await books.open_account(currency="EUR")
    account = account_pb2.Account(party="parties/acme", currency="CNY", kind=KINDS.KIND_CONSUMER)
    with pytest.raises(Refusal, match="ACCOUNT_EXISTS"):
        await books.operator.accounting.CreateAccount(
            pb.CreateAccountRequest(account_id="acme", account=account, request_id="other")
        )


@pytest.mark.parametrize(
    ("call", "item", "most"),
    [("QuoteBatch", pb.QuoteAsk, 1000), ("PlaceHolds", pb.HoldAsk, 100)],
)
async def test_a_batch_has_a_bound(books: Any, call: str, item: Any, most: int) -> None:
    """One caller with a huge batch would keep every other one waiting for the books."""
    method, request_of = getattr(books.scheduler.accounting, call), getattr(pb, f"{call}Request")
    assert len((await method(request_of(items=[item()] * most))).results) == most
    for count in (0, most + 1):
        with pytest.raises(Refusal) as refused:
            await method(request_of(items=[item()] * count))
        assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", "items")


async def test_a_batch_of_usage_has_a_bound(books: Any) -> None:
    """One site with a huge batch would keep every other one waiting for the books."""
    assert len(await books.send("a", *[books.record("a", "p")] * 1000)) == 1000
    for records in ([], [b""] * 1001, [b"x" * 1201]):
        with pytest.raises(Refusal) as refused:
            await books.send("a", *records)
        field = refused.value.facts["field"].partition("[")[0]
        assert (refused.value.reason, field) == ("FIELD_INVALID", "records")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"currency": "yuan"}, "account.currency"),
        ({"kind": KINDS.KIND_FUNDING}, "account.kind"),
        ({"kind": 99}, "account.kind"),
        ({"party": "acme"}, "account.party"),
    ],
)
async def test_a_wrong_account_is_refused_with_its_field(books: Any, change: dict[str, Any], field: str) -> None:
    """A typing error in a currency would be found when the first bill does not add up."""
    facts = {"party": "parties/acme", "currency": "CNY", "kind": KINDS.KIND_CONSUMER} | change
    request = pb.CreateAccountRequest(account_id="wrong", account=account_pb2.Account(**facts), request_id="r")
    with pytest.raises(Refusal) as refused:
        await books.operator.accounting.CreateAccount(request)
    assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", field)


async def test_every_version_of_a_price_stays(books: Any) -> None:
    """Whoever disputes an old charge must find the price it was made by."""
    dearer = await books.publish(cpu=3)
    await books.publish("b", cpu=7)
    assert (dearer.version, dearer.prices[0].amount_micros) == (2, 3)
    assert await books.publish(cpu=3) == dearer
    now = await books.user.accounting.ListPriceBooks(pb.ListPriceBooksRequest())
    assert [(book.name, book.version) for book in now.price_books] == [("priceBooks/a", 2), ("priceBooks/b", 1)]
    ever = await books.user.accounting.ListPriceBooks(pb.ListPriceBooksRequest(all_versions=True))
    assert [(b.name, b.version, b.prices[0].amount_micros) for b in ever.price_books] == [
        ("priceBooks/a", 1, 1),
        ("priceBooks/a", 2, 3),
        ("priceBooks/b", 1, 7),
    ]


async def test_who_sets_a_price_undoes_none_that_another_sets(books: Any) -> None:
    """Two people who make one thing dearer each, at the same time, would else have one of both in force, unseen."""

    def change(request_id: str, *prices: Price, party: str = "") -> Awaitable[PriceBook]:
        book = PriceBook(party=party, prices=prices)
        request = pb.PublishPriceBookRequest(
            price_book_id="a", price_book=book, request_id=request_id, keep_others=True
        )
        return books.operator.accounting.PublishPriceBook(request)

    memory = Price(meter=METER_MEMORY_MIB_S, amount_micros=5, per_quantity=2)
    moved = Price(meter=METER_TRANSFER_BYTES, amount_micros=7, per_quantity=1)
    made = await asyncio.gather(change("one", memory), change("other", moved))
    assert sorted(book.version for book in made) == [2, 3]
    cpu = Price(meter=METER_CPU_US, amount_micros=1, per_quantity=1)
    newest = max(made, key=lambda book: book.version)
    assert list(newest.prices) == [cpu, memory, moved]
    assert (newest.party, newest.currency) == ("parties/a-power", "CNY")
    assert await change("one", memory) in made
    freed = await change("free", Price(meter=METER_CPU_US, per_quantity=1), party="parties/other")
    assert (freed.version, list(freed.prices), freed.party) == (4, [memory, moved], "parties/other")


async def test_a_book_that_keeps_nothing_says_all(books: Any) -> None:
    """Prices of nobody, or in no currency, would come into force for a name that was mistyped."""
    for party, field in (("", "price_book.party"), ("parties/p", "price_book.currency")):
        request = pb.PublishPriceBookRequest(
            price_book_id="mistyped", price_book=PriceBook(party=party), keep_others=True
        )
        with pytest.raises(Refusal) as refused:
            await books.operator.accounting.PublishPriceBook(request)
        assert (refused.value.reason, refused.value.facts["field"]) == ("FIELD_INVALID", field)
    known = await books.operator.accounting.ListPriceBooks(pb.ListPriceBooksRequest())
    assert "priceBooks/mistyped" not in [book.name for book in known.price_books]


async def test_a_new_price_changes_nothing_that_was_held_before(books: Any) -> None:
    """A provider must not raise the price of a job that runs."""
    await books.place("before", 100)
    await books.publish(cpu=3)
    await books.place("after", 100)
    for placement in ("before", "after"):
        await books.use("a", placement, 10)
    charges = (await books.bill()).charges
    assert [(c.placement, c.price_version, c.amount_micros) for c in charges] == [
        ("placements/before", "priceBooks/a@1", 10),
        ("placements/after", "priceBooks/a@2", 30),
    ]


async def test_every_item_of_a_quote_is_answered_in_its_place(books: Any) -> None:
    """The scheduler weighs pools by quotes; one without a price must not shift the others."""
    await books.publish("b", cpu=1, per=2)
    link = Price(meter=METER_TRANSFER_BYTES, amount_micros=20, per_quantity=1 << 20)
    asks = [
        pb.QuoteAsk(price_book="priceBooks/a", readings=[MeterReading(meter=METER_CPU_US, quantity=7)]),
        pb.QuoteAsk(price_book="priceBooks/none"),
        pb.QuoteAsk(
            price_book="priceBooks/b",
            readings=[MeterReading(meter=METER_CPU_US, quantity=5)],
            transfer_bytes=3 << 20,
            link_prices=[pb.LinkPrice(link="links/l", party="parties/carrier", price=link)],
        ),
        pb.QuoteAsk(price_book="priceBooks/a", transfer_bytes=-1),
    ]
    plain, none, moved, negative = (await books.user.accounting.QuoteBatch(pb.QuoteBatchRequest(items=asks))).results
    assert (plain.quote.amount_micros, plain.quote.currency) == (7, "CNY")
    assert (refusal_of(none.error).code, refusal_of(none.error).reason) == ("NOT_FOUND", "PRICE_UNKNOWN")
    assert [line.amount_micros for line in moved.quote.lines] == [2, 60]
    assert (moved.quote.amount_micros, moved.quote.lines[0].price_version) == (62, 1)
    assert refusal_of(negative.error).facts["field"] == "transfer_bytes"


async def test_every_list_comes_in_pages_and_each_token_fits_its_own_question(books: Any) -> None:
    """A script that walks a list must see each row once, and must hear when it mixes two lists up."""
    await books.open_account("beta", credit=5)
    await books.publish("b")
    await books.publish(cpu=2)
    for placement in ("p", "q", "r"):
        await books.place(placement, 10)
        await books.use("a", placement, 5)
    asked = {
        "accounts": ("ListAccounts", {}, {}),
        "books": ("ListPriceBooks", {}, {"all_versions": True}),
        "versions": ("ListPriceBooks", {"all_versions": True}, {}),
        "usage": ("ListUsage", {}, {"job": "jobs/p"}),
        "postings": ("ListPostings", {}, {"account": "accounts/acme"}),
        "holds": ("ListHolds", {}, {"account": "accounts/acme"}),
    }
    for call, facts, other in asked.values():
        method, request_of = getattr(books.operator.accounting, call), getattr(pb, f"{call}Request")
        whole = await method(request_of(**facts))
        rows = next(field.name for field, _ in whole.ListFields())
        first = await method(request_of(page_size=1, **facts))
        seen, token = list(getattr(first, rows)), first.next_page_token
        while token:
            page = await method(request_of(page_size=1, page_token=token, **facts))
            seen, token = seen + list(getattr(page, rows)), page.next_page_token
        assert seen == list(getattr(whole, rows))
        assert len(seen) > 1
        for wrong in [{"page_token": "x"}, *([{"page_token": first.next_page_token} | other] if other else [])]:
            with pytest.raises(Refusal, match="PAGE_TOKEN_INVALID"):
                await method(request_of(**wrong))
    theirs = await books.operator.accounting.ListHolds(pb.ListHoldsRequest(page_size=1))
    with pytest.raises(Refusal, match="PAGE_TOKEN_INVALID"):
        await books.stranger.accounting.ListHolds(pb.ListHoldsRequest(page_token=theirs.next_page_token))


async def test_a_party_opens_no_more_accounts_than_it_may(books: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that runs wild would fill the ledger; what a provider earns finds its account all the same."""
    monkeypatch.setattr("suanmesh_accounting.ledger.paying.PARTY_ACCOUNTS_MAX", 1)
    with pytest.raises(Refusal, match="ACCOUNTS_TOO_MANY") as refused:
        await books.open_account("second")
    assert refused.value.facts == {"name": "parties/acme", "most": "1"}
    await books.open_account("a-own", party="a-power")
    await books.place("p", 10)
    assert await books.use("a", "p", 5) == "OUTCOME_STORED"


async def test_price_books_and_their_versions_are_bounded(books: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed that publishes a price a second must be told, not kept for ever."""
    monkeypatch.setattr("suanmesh_accounting.ledger.paying.PRICE_BOOKS_MAX", 1)
    monkeypatch.setattr("suanmesh_accounting.ledger.paying.PRICE_BOOK_VERSIONS_MAX", 2)
    with pytest.raises(Refusal, match="PRICE_BOOKS_TOO_MANY"):
        await books.publish("b")
    assert (await books.publish("a", cpu=2)).version == 2
    with pytest.raises(Refusal, match="PRICE_BOOKS_TOO_MANY"):
        await books.publish("a", cpu=3)
