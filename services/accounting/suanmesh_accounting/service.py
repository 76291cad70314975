"""The calls of accounting: wire in, one transaction, wire out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from google.protobuf.message import Message
from sqlalchemy import Connection

from suanmesh.accounting.v1 import account_pb2, price_book_pb2, usage_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.type.v1 import document_pb2, money_pb2, signed_pb2
from suanmesh_accounting import ledger as sql
from suanmesh_accounting import queries, wire
from suanmesh_accounting.domain.pace import Allowance, spent
from suanmesh_accounting.domain.prices import compute_lines, transfer_lines
from suanmesh_accounting.holding import Holding
from suanmesh_accounting.ledger import Ledger
from suanmesh_accounting.metering import Metering, Taken
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_chassis import Call
from suanmesh_kernel import pages
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.names import checked_id, checked_name
from suanmesh_kernel.refusals import InvalidArgument, NotFound, Refusal
from suanmesh_sdk.status import status_of
from suanmesh_store import AlreadyAnswered, MemoKey

A = TypeVar("A", bound=Message)

FAR_US = 2**62
OPERATOR = "parties/operator"
BATCH_MAX = 1000
HOLDS_MAX = 100
WORKS_MAX = 100


class AccountingService:
    """Keeps accounts, prices, holds, usage and charges."""

    def __init__(
        self, ledger: Ledger, holding: Holding, metering: Metering, clock: Clock, rng: Rng, settings: AccountingSettings
    ) -> None:
        self._ledger = ledger
        self._holding = holding
        self._metering = metering
        self._clock = clock
        self._rng = rng
        self._quote_valid = timedelta(seconds=settings.quote_valid_s)
        self._pace = settings.pace()
        self._allowances: dict[str, Allowance] = {}

    async def CreateAccount(self, request: pb.CreateAccountRequest, call: Call) -> account_pb2.Account:
        name = "accounts/" + checked_id(request.account_id, field="account_id")
        party = checked_name(request.account.party, "parties", field="account.party")
        currency = wire.checked_currency(request.account.currency, "account.currency")
        kind = wire.kind_of(request.account)
        now = self._clock.now()

        def opened(c: Connection) -> account_pb2.Account:
            sql.require_room_for_account(c, party)
            return wire.account_to(sql.add_account(c, name, party, currency, kind, now), 0)

        return await self._once(call, opened)

    async def GetAccount(self, request: pb.GetAccountRequest, call: Call) -> account_pb2.Account:
        return await self._ledger.run(lambda c: _shown(c, request.name, call))

    async def ListAccounts(self, request: pb.ListAccountsRequest, call: Call) -> pb.ListAccountsResponse:
        page = queries.page_of(request.page_size, request.page_token, f"{call.method} {call.party}")

        def listed(c: Connection) -> pb.ListAccountsResponse:
            rows, token = queries.accounts(c, page, _own_party(call))
            accounts = [wire.account_to(row, sql.held_on(c, row.name)) for row in rows]
            return pb.ListAccountsResponse(accounts=accounts, next_page_token=token)

        return await self._ledger.run(listed)

    async def CreditAccount(self, request: pb.CreditAccountRequest, call: Call) -> account_pb2.Account:
        entry_id = f"credits/{sortable_id(self._clock.now(), self._rng)}"
        now = self._clock.now()

        def credited(c: Connection) -> account_pb2.Account:
            row = sql.credit(c, request.name, request.amount_micros, entry_id, OPERATOR, now)
            return wire.account_to(row, sql.held_on(c, row.name))

        return await self._once(call, credited)

    async def PublishPriceBook(self, request: pb.PublishPriceBookRequest, call: Call) -> price_book_pb2.PriceBook:
        book = price_book_pb2.PriceBook()
        book.CopyFrom(request.price_book)
        book.name = "priceBooks/" + checked_id(request.price_book_id, field="price_book_id")
        checked_name(book.party, "parties", field="price_book.party")
        wire.checked_currency(book.currency, "price_book.currency")
        wire.book_from(book)
        book.effective_time.FromDatetime(self._clock.now())
        return await self._once(call, lambda c: sql.add_price_book(c, book))

    async def ListPriceBooks(self, request: pb.ListPriceBooksRequest, call: Call) -> pb.ListPriceBooksResponse:
        page = queries.page_of(request.page_size, request.page_token, f"{call.method} {request.all_versions}")
        listed = queries.price_book_versions if request.all_versions else queries.price_books
        books, token = await self._ledger.run(lambda c: listed(c, page))
        return pb.ListPriceBooksResponse(price_books=books, next_page_token=token)

    async def QuoteBatch(self, request: pb.QuoteBatchRequest, call: Call) -> pb.QuoteBatchResponse:
        _check_count(request.items, BATCH_MAX)
        expire_time = self._clock.now() + self._quote_valid
        results = await self._ledger.run(lambda c: [_quoted(c, ask, expire_time) for ask in request.items])
        return pb.QuoteBatchResponse(results=results)

    async def PlaceHolds(self, request: pb.PlaceHoldsRequest, call: Call) -> pb.PlaceHoldsResponse:
        _check_count(request.items, HOLDS_MAX)
        results = []
        for ask in request.items:
            try:
                results.append(pb.MoneyHoldResult(hold=await self._holding.place(ask)))
            except Refusal as refusal:
                results.append(pb.MoneyHoldResult(error=status_of(refusal, area="accounting")))
        return pb.PlaceHoldsResponse(results=results)

    async def RecordUsage(self, request: pb.RecordUsageRequest, call: Call) -> pb.RecordUsageResponse:
        _check_count(request.items, BATCH_MAX)
        site, now_s = call.site, self._clock.monotonic()
        self._allowances[site] = spent(site, self._allowances.get(site), len(request.items), now_s, self._pace)
        taken = await self._metering.record(request.items, call.site)
        return pb.RecordUsageResponse(results=[_usage_result(each) for each in taken])

    async def GetMeteringState(self, request: pb.GetMeteringStateRequest, call: Call) -> pb.MeteringState:
        works = tuple(request.works)
        if len(works) > WORKS_MAX:
            raise InvalidArgument("FIELD_INVALID", f"works: {len(works)} are more than {WORKS_MAX}", field="works")
        return await self._ledger.run(lambda c: queries.metering_state(c, call.site, request.epoch, works))

    async def GetBill(self, request: pb.GetBillRequest, call: Call) -> usage_pb2.Bill:
        start = wire.checked_us(request.start_time, "start_time") if request.HasField("start_time") else 0
        end = wire.checked_us(request.end_time, "end_time") if request.HasField("end_time") else FAR_US
        scope = f"{call.method} {request.account} {request.job} {start} {end}"
        page = queries.page_of(request.page_size or pages.PAGE_SIZE_MAX, request.page_token, scope)

        def billed(c: Connection) -> usage_pb2.Bill:
            account = _shown(c, request.account, call)
            owed = queries.Owed(account.name, request.job, start, end)
            charges, token = queries.charges(c, page, owed)
            return usage_pb2.Bill(
                account=account.name,
                currency=account.currency,
                charges=charges,
                total_micros=queries.total(c, owed),
                held_micros=sql.held_on(c, account.name, request.job),
                next_page_token=token,
            )

        return await self._ledger.run(billed)

    async def ListUsage(self, request: pb.ListUsageRequest, call: Call) -> pb.ListUsageResponse:
        page = queries.page_of(request.page_size, request.page_token, f"{call.method} {call.party} {request.job}")
        rows, token = await self._ledger.run(lambda c: queries.usage(c, page, request.job, _own_party(call)))
        usage = [
            usage_pb2.StoredUsage(
                record=signed_pb2.Signed.FromString(row.signed), record_time=wire.timestamp(row.record_us)
            )
            for row in rows
        ]
        return pb.ListUsageResponse(usage=usage, next_page_token=token)

    async def ListPostings(self, request: pb.ListPostingsRequest, call: Call) -> pb.ListPostingsResponse:
        page = queries.page_of(request.page_size, request.page_token, f"{call.method} {request.account}")
        rows, token = await self._ledger.run(lambda c: queries.postings(c, page, request.account))
        return pb.ListPostingsResponse(postings=[wire.posting_to(row) for row in rows], next_page_token=token)

    async def ListHolds(self, request: pb.ListHoldsRequest, call: Call) -> pb.ListHoldsResponse:
        page = queries.page_of(request.page_size, request.page_token, f"{call.method} {call.party} {request.account}")
        rows, token = await self._ledger.run(lambda c: queries.holds(c, page, request.account, _own_party(call)))
        return pb.ListHoldsResponse(holds=[wire.hold_to(row) for row in rows], next_page_token=token)

    async def _once(self, call: Call, effect: Callable[[Connection], A]) -> A:
        """Carry out an effect and keep its answer under the call's request id, in one transaction.

        Raises AlreadyAnswered where the same request, sent twice at once, was faster on its other way.
        """
        key = MemoKey(call.principal, call.request_id, call.method)

        def work(c: Connection) -> A:
            if (answered := sql.recalled(c, key)) is not None:
                raise AlreadyAnswered(answered)
            answer = effect(c)
            record = document_pb2.RequestRecord(
                method=call.method,
                body_digest=call.body_digest,
                answer_kind=answer.DESCRIPTOR.full_name,
                answer=answer.SerializeToString(),
            )
            sql.remember(c, key, record, self._clock.now())
            return answer

        return await self._ledger.run(work)


def _check_count(items: Sequence[object], most: int) -> None:
    if not 1 <= len(items) <= most:
        raise InvalidArgument("FIELD_INVALID", f"items: {len(items)} are not 1 to {most}", field="items")


def _own_party(call: Call) -> str:
    """The party whose things the caller sees; empty for the operator and for services, who see all."""
    return "" if call.is_("operator") or call.is_("service") else call.party


def _shown(c: Connection, name: str, call: Call) -> account_pb2.Account:
    row = sql.account(c, name)
    if _own_party(call) not in ("", row.party):
        raise NotFound("ACCOUNT_UNKNOWN", f"no account {name}", name=name)
    return wire.account_to(row, sql.held_on(c, name))


def _usage_result(taken: Taken) -> pb.UsageResult:
    if isinstance(taken, Refusal):
        return pb.UsageResult(error=status_of(taken, area="accounting"))
    return pb.UsageResult(charges=taken)


def _quoted(c: Connection, ask: pb.QuoteAsk, expire_time: datetime) -> pb.QuoteResult:
    try:
        book = wire.book_from(sql.price_book(c, ask.price_book))
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
