"""The calls of accounting: wire in, one command or query of the ledger, wire out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from google.protobuf.message import Message

from suanmesh.accounting.v1 import account_pb2, price_book_pb2, usage_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.type.v1 import document_pb2, money_pb2
from suanmesh_accounting import wire
from suanmesh_accounting.domain import commands as c
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.commands import Request
from suanmesh_accounting.domain.pace import Allowance, spent
from suanmesh_accounting.domain.prices import compute_lines, transfer_lines
from suanmesh_accounting.holding import Holding
from suanmesh_accounting.metering import Metering
from suanmesh_accounting.ports import Ledger
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_chassis import Call
from suanmesh_kernel import pages
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.names import checked_id, checked_name
from suanmesh_kernel.refusals import InvalidArgument, NotFound, Refusal
from suanmesh_sdk.status import status_of
from suanmesh_store import AlreadyAnswered, Answered, IdempotencyKey

A = TypeVar("A", bound=Message)
R = TypeVar("R")

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

    async def lookup(self, key: IdempotencyKey) -> Answered | None:
        """The answer once given to a request id."""
        record = await self._ledger.page(q.AnswerTo(Request(key.principal, key.method, key.request_id)))
        return None if record is None else _answered(record)

    async def CreateAccount(self, request: pb.CreateAccountRequest, call: Call) -> account_pb2.Account:
        command = c.OpenAccount(
            name="accounts/" + checked_id(request.account_id, field="account_id"),
            party=checked_name(request.account.party, "parties", field="account.party"),
            currency=wire.checked_currency(request.account.currency, "account.currency"),
            kind=wire.kind_of(request.account),
            create_us=self._now_us(),
        )
        return await self._once(call, command, wire.account_to)

    async def GetAccount(self, request: pb.GetAccountRequest, call: Call) -> account_pb2.Account:
        account = await self._ledger.page(q.AccountNamed(request.name))
        if _own_party(call) not in ("", account.party):
            raise NotFound("ACCOUNT_UNKNOWN", f"no account {request.name}", name=request.name)
        return wire.account_to(account)

    async def ListAccounts(self, request: pb.ListAccountsRequest, call: Call) -> pb.ListAccountsResponse:
        cut = q.cut_of(request.page_size, request.page_token, f"{call.method} {call.party}")
        page = await self._ledger.page(q.Accounts(cut, _own_party(call)))
        accounts = [wire.account_to(account) for account in page.items]
        return pb.ListAccountsResponse(accounts=accounts, next_page_token=page.next_page_token)

    async def CreditAccount(self, request: pb.CreditAccountRequest, call: Call) -> account_pb2.Account:
        entry = f"credits/{sortable_id(self._clock.now(), self._rng)}"
        command = c.CreditAccount(request.name, request.amount_micros, entry, OPERATOR, self._now_us())
        return await self._once(call, command, wire.account_to)

    async def PublishPriceBook(self, request: pb.PublishPriceBookRequest, call: Call) -> price_book_pb2.PriceBook:
        book = price_book_pb2.PriceBook()
        book.CopyFrom(request.price_book)
        book.name = "priceBooks/" + checked_id(request.price_book_id, field="price_book_id")
        checked_name(book.party, "parties", field="price_book.party")
        wire.checked_currency(book.currency, "price_book.currency")
        wire.book_from(book)
        book.effective_time.FromDatetime(self._clock.now())
        document = book.SerializeToString()
        command = c.PublishBook(book.name, document)
        return await self._once(call, command, lambda version: wire.book_message(document, version))

    async def ListPriceBooks(self, request: pb.ListPriceBooksRequest, call: Call) -> pb.ListPriceBooksResponse:
        cut = q.cut_of(request.page_size, request.page_token, f"{call.method} {request.all_versions}")
        page = await self._ledger.page(q.Books(cut, request.all_versions))
        books = [wire.book_message(book.document, book.version) for book in page.items]
        return pb.ListPriceBooksResponse(price_books=books, next_page_token=page.next_page_token)

    async def QuoteBatch(self, request: pb.QuoteBatchRequest, call: Call) -> pb.QuoteBatchResponse:
        _require_count(request.items, BATCH_MAX)
        expire_time = self._clock.now() + self._quote_valid
        books = await self._ledger.page(q.BooksInForce(frozenset(ask.price_book for ask in request.items)))
        return pb.QuoteBatchResponse(results=[_quoted(books, ask, expire_time) for ask in request.items])

    async def PlaceHolds(self, request: pb.PlaceHoldsRequest, call: Call) -> pb.PlaceHoldsResponse:
        _require_count(request.items, HOLDS_MAX)
        placed = await self._holding.place(request.items)
        return pb.PlaceHoldsResponse(results=[_hold_result(each) for each in placed])

    async def RecordUsage(self, request: pb.RecordUsageRequest, call: Call) -> pb.RecordUsageResponse:
        _require_count(request.records, BATCH_MAX, "records")
        site, now_s = call.site, self._clock.monotonic()
        self._allowances[site] = spent(site, self._allowances.get(site), len(request.records), now_s, self._pace)
        return await self._metering.record(request, call.site)

    async def GetMeteringState(self, request: pb.GetMeteringStateRequest, call: Call) -> pb.MeteringState:
        works = tuple(request.works)
        if len(works) > WORKS_MAX:
            raise InvalidArgument("FIELD_INVALID", f"works: {len(works)} are more than {WORKS_MAX}", field="works")
        found = await self._ledger.page(q.UsageOfMeter(call.site, request.epoch, frozenset(works)))
        return wire.metering_state_to(found)

    async def GetBill(self, request: pb.GetBillRequest, call: Call) -> usage_pb2.Bill:
        start = wire.checked_us(request.start_time, "start_time") if request.HasField("start_time") else 0
        end = wire.checked_us(request.end_time, "end_time") if request.HasField("end_time") else FAR_US
        scope = f"{call.method} {request.account} {request.job} {start} {end}"
        cut = q.cut_of(request.page_size or pages.PAGE_SIZE_MAX, request.page_token, scope)
        bill = await self._ledger.page(q.Bill(cut, request.account, _own_party(call), request.job, start, end))
        return usage_pb2.Bill(
            account=bill.account.name,
            currency=bill.account.currency,
            charges=[usage_pb2.Charge.FromString(document) for document in bill.charges.items],
            total_micros=bill.total_micros,
            held_micros=bill.held_micros,
            next_page_token=bill.charges.next_page_token,
        )

    async def ListUsage(self, request: pb.ListUsageRequest, call: Call) -> pb.ListUsageResponse:
        cut = q.cut_of(request.page_size, request.page_token, f"{call.method} {call.party} {request.job}")
        page = await self._ledger.page(q.Usage(cut, request.job, _own_party(call)))
        usage = [wire.usage_to(kept) for kept in page.items]
        return pb.ListUsageResponse(usage=usage, next_page_token=page.next_page_token)

    async def ListPostings(self, request: pb.ListPostingsRequest, call: Call) -> pb.ListPostingsResponse:
        cut = q.cut_of(request.page_size, request.page_token, f"{call.method} {request.account}")
        page = await self._ledger.page(q.Postings(cut, request.account))
        postings = [wire.posting_to(posted) for posted in page.items]
        return pb.ListPostingsResponse(postings=postings, next_page_token=page.next_page_token)

    async def ListHolds(self, request: pb.ListHoldsRequest, call: Call) -> pb.ListHoldsResponse:
        cut = q.cut_of(request.page_size, request.page_token, f"{call.method} {call.party} {request.account}")
        page = await self._ledger.page(q.Holds(cut, request.account, _own_party(call)))
        holds = [wire.hold_to(hold) for hold in page.items]
        return pb.ListHoldsResponse(holds=holds, next_page_token=page.next_page_token)

    async def _once(self, call: Call, command: c.Command[R], shown: Callable[[R], A]) -> A:
        """Carry out a command and keep its answer under the call's request id, in one transaction.

        Raises AlreadyAnswered where the same request, sent twice at once, was faster on its other way.
        """

        def answer(result: R) -> bytes:
            message = shown(result)
            return document_pb2.RequestRecord(
                method=call.method,
                body_digest=call.body_digest,
                answer_kind=message.DESCRIPTOR.full_name,
                answer=message.SerializeToString(),
            ).SerializeToString()

        request = Request(call.principal, call.method, call.request_id)
        [result] = await self._ledger.apply([c.Once(request, command, answer, self._now_us())])
        if isinstance(result, Refusal):
            raise result
        if isinstance(result, c.Replayed):
            raise AlreadyAnswered(_answered(result.record))
        return shown(result)

    def _now_us(self) -> int:
        return wire.microseconds(self._clock.now())


def _answered(record: bytes) -> Answered:
    return Answered(document_pb2.RequestRecord.FromString(record))


def _require_count(items: Sequence[object], most: int, field: str = "items") -> None:
    if not 1 <= len(items) <= most:
        raise InvalidArgument("FIELD_INVALID", f"{field}: {len(items)} are not 1 to {most}", field=field)


def _own_party(call: Call) -> str:
    """The party whose things the caller sees; empty for the operator and for services, who see all."""
    return "" if call.is_("operator") or call.is_("service") else call.party


def _hold_result(placed: pb.MoneyHold | Refusal) -> pb.MoneyHoldResult:
    if isinstance(placed, Refusal):
        return pb.MoneyHoldResult(error=status_of(placed, area="accounting"))
    return pb.MoneyHoldResult(hold=placed)


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
