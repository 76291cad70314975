"""The reads of accounting, which any instance answers: wire in, one query of the ledger, wire out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from suanmesh.accounting.v1 import account_pb2, price_book_pb2, usage_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.type.v1 import money_pb2
from suanmesh_accounting import wire
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.prices import compute_lines, transfer_lines
from suanmesh_accounting.ports import LedgerReads
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_accounting.summing import period_of, summarized
from suanmesh_chassis import Call
from suanmesh_kernel import pages
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import InvalidArgument, NotFound, Refusal
from suanmesh_sdk.status import status_of

QUOTES_MAX = 1000


class AccountingReads:
    """Tells of accounts, prices, holds, usage and charges."""

    def __init__(self, ledger: LedgerReads, clock: Clock, settings: AccountingSettings) -> None:
        self._ledger = ledger
        self._clock = clock
        self._quote_valid = timedelta(seconds=settings.quote_valid_s)

    async def GetAccount(self, request: pb.GetAccountRequest, call: Call) -> account_pb2.Account:
        account, party_budget = await self._ledger.page(q.BoundedAccount(request.name))
        if _own_party(call) not in ("", account.party):
            raise NotFound("ACCOUNT_UNKNOWN", f"no account {request.name}", name=request.name)
        return wire.account_to(account, party_budget)

    async def ListAccounts(self, request: pb.ListAccountsRequest, call: Call) -> pb.ListAccountsResponse:
        cut = q.cut_of(request.page_size, request.page_token, f"{call.method} {call.party}")
        page = await self._ledger.page(q.BoundedAccounts(cut, _own_party(call)))
        accounts = [wire.account_to(account, party_budget) for account, party_budget in page.items]
        return pb.ListAccountsResponse(accounts=accounts, next_page_token=page.next_page_token)

    async def ListPartyBudgets(self, request: pb.ListPartyBudgetsRequest, call: Call) -> pb.ListPartyBudgetsResponse:
        cut = q.cut_of(request.page_size, request.page_token, f"{call.method} {call.party}")
        page = await self._ledger.page(q.PartyBudgets(cut, _own_party(call)))
        budgets = [wire.party_budget_to(budget) for budget in page.items]
        return pb.ListPartyBudgetsResponse(budgets=budgets, next_page_token=page.next_page_token)

    async def ListPriceBooks(self, request: pb.ListPriceBooksRequest, call: Call) -> pb.ListPriceBooksResponse:
        scope = f"{call.method} {request.all_versions} {request.price_book}"
        cut = q.cut_of(request.page_size, request.page_token, scope)
        page = await self._ledger.page(q.Books(cut, request.all_versions, request.price_book))
        books = [wire.book_message(book.document, book.version) for book in page.items]
        return pb.ListPriceBooksResponse(price_books=books, next_page_token=page.next_page_token)

    async def QuoteBatch(self, request: pb.QuoteBatchRequest, call: Call) -> pb.QuoteBatchResponse:
        wire.require_count(request.items, QUOTES_MAX)
        expire_time = self._clock.now() + self._quote_valid
        books = await self._ledger.page(q.BooksInForce(frozenset(ask.price_book for ask in request.items)))
        return pb.QuoteBatchResponse(results=[_quoted(books, ask, expire_time) for ask in request.items])

    async def GetBill(self, request: pb.GetBillRequest, call: Call) -> usage_pb2.Bill:
        start, end = period_of(request)
        scope = f"{call.method} {request.account} {request.job} {start} {end}"
        cut = q.cut_of(request.page_size or pages.PAGE_SIZE_MAX, request.page_token, scope)
        bill = await self._ledger.page(q.Bill(cut, request.account, _own_party(call), request.job, start, end))
        return usage_pb2.Bill(
            account=bill.account.name,
            currency=bill.account.currency,
            charges=[usage_pb2.Charge.FromString(document) for document in bill.charges.items],
            charge_count=bill.charge_count,
            total_micros=bill.total_micros,
            waived_micros=bill.waived_micros,
            held_micros=bill.held_micros,
            next_page_token=bill.charges.next_page_token,
        )

    async def SummarizeCharges(self, request: pb.SummarizeChargesRequest, call: Call) -> pb.SummarizeChargesResponse:
        return await summarized(self._ledger, request, call, _own_party(call))

    async def ListUsage(self, request: pb.ListUsageRequest, call: Call) -> pb.ListUsageResponse:
        cut = q.cut_of(request.page_size, request.page_token, f"{call.method} {call.party} {request.job}")
        page = await self._ledger.page(q.Usage(cut, request.job, _own_party(call)))
        usage = [wire.usage_to(kept) for kept in page.items]
        return pb.ListUsageResponse(usage=usage, next_page_token=page.next_page_token)

    async def ListPostings(self, request: pb.ListPostingsRequest, call: Call) -> pb.ListPostingsResponse:
        cut = q.cut_of(request.page_size, request.page_token, f"{call.method} {call.party} {request.account}")
        page = await self._ledger.page(q.Postings(cut, request.account, _own_party(call)))
        postings = [wire.posting_to(posted) for posted in page.items]
        return pb.ListPostingsResponse(postings=postings, next_page_token=page.next_page_token)

    async def ListHolds(self, request: pb.ListHoldsRequest, call: Call) -> pb.ListHoldsResponse:
        cut = q.cut_of(request.page_size, request.page_token, f"{call.method} {call.party} {request.account}")
        page = await self._ledger.page(q.Holds(cut, request.account, _own_party(call)))
        holds = [wire.hold_to(hold) for hold in page.items]
        return pb.ListHoldsResponse(holds=holds, next_page_token=page.next_page_token)


def _own_party(call: Call) -> str:
    """The party whose things the caller sees; empty for the operator and for services, who see all."""
    return "" if call.is_("operator") or call.is_("service") else call.party


def _quoted(books: Mapping[str, q.StoredBook], ask: pb.QuoteAsk, expire_time: datetime) -> pb.QuoteResult:
    try:
        stored = books.get(ask.price_book)
        if stored is None:
            raise NotFound("PRICE_UNKNOWN", f"no price book {ask.price_book}", name=ask.price_book)
        book = wire.stored_book(stored.document, stored.version)
        lines = compute_lines(wire.readings_from(list(ask.readings), "readings"), book)
        tariffs = wire.tariffs_from(list(ask.link_prices))
        if ask.transfer_bytes < 0:
            raise InvalidArgument("FIELD_INVALID", "transfer_bytes is negative", field="transfer_bytes")
        lines += transfer_lines(money_pb2.METER_TRANSFER_BYTES, ask.transfer_bytes, tariffs)
    except Refusal as refusal:
        return pb.QuoteResult(error=status_of(refusal, area="accounting"))
    quote = price_book_pb2.Quote(
        amount_micros=sum(line.amount_micros for line in lines),
        currency=book.currency,
        lines=[wire.quote_line_to(line) for line in lines],
    )
    quote.expire_time.FromDatetime(expire_time)
    return pb.QuoteResult(quote=quote)
