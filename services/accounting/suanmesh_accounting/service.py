"""The calls that the leader of accounting serves: wire in, one command or query of the ledger, wire out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from suanmesh.accounting.v1 import account_pb2, price_book_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.type.v1 import document_pb2
from suanmesh_accounting import wire
from suanmesh_accounting.domain import commands as c
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.domain.commands import Request
from suanmesh_accounting.domain.pace import Allowance, spent
from suanmesh_accounting.holding import Holding
from suanmesh_accounting.metering import Metering
from suanmesh_accounting.ports import Ledger
from suanmesh_accounting.reads import AccountingReads
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_chassis import Call
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.names import checked_id, checked_name
from suanmesh_kernel.refusals import InvalidArgument, NotFound, Refusal
from suanmesh_sdk.status import status_of
from suanmesh_store import AlreadyAnswered, Answered, IdempotencyKey

A = TypeVar("A", bound=Message)
R = TypeVar("R")

OPERATOR = "parties/operator"
BATCH_MAX = 1000
HOLDS_MAX = 100
WORKS_MAX = 100


class AccountingService(AccountingReads):
    """Keeps accounts, prices, holds, usage and charges."""

    def __init__(
        self, ledger: Ledger, holding: Holding, metering: Metering, clock: Clock, rng: Rng, settings: AccountingSettings
    ) -> None:
        super().__init__(ledger, clock, settings)
        self._books = ledger
        self._holding = holding
        self._metering = metering
        self._rng = rng
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

    async def CreditAccount(self, request: pb.CreditAccountRequest, call: Call) -> account_pb2.Account:
        entry = f"credits/{sortable_id(self._clock.now(), self._rng)}"
        command = c.CreditAccount(request.name, request.amount_micros, entry, OPERATOR, self._now_us())
        return await self._once(call, command, wire.account_to)

    async def CloseAccount(self, request: pb.CloseAccountRequest, call: Call) -> account_pb2.Account:
        entry = f"closures/{sortable_id(self._clock.now(), self._rng)}"
        command = c.CloseAccount(request.name, entry, OPERATOR, self._now_us())
        return await self._once(call, command, wire.account_to)

    async def SetBudget(self, request: pb.SetBudgetRequest, call: Call) -> account_pb2.Account:
        party = "" if call.is_("operator") else call.party
        amount_micros, hard = wire.budget_from(request)
        command = c.SetBudget(request.name, party, amount_micros, hard, self._now_us())
        return await self._once(call, command, wire.account_to)

    async def SetPartyBudget(self, request: pb.SetPartyBudgetRequest, call: Call) -> account_pb2.PartyBudget:
        party = checked_name(request.party, "parties", field="party")
        if not call.is_("operator") and party != call.party:
            raise NotFound("ACCOUNT_UNKNOWN", f"no account of {party}", name=party)
        currency = wire.checked_currency(request.currency, "currency")
        amount_micros, hard = wire.budget_from(request)
        command = c.SetPartyBudget(party, currency, amount_micros, hard, self._now_us())
        return await self._once(call, command, wire.party_budget_to)

    async def PublishPriceBook(self, request: pb.PublishPriceBookRequest, call: Call) -> price_book_pb2.PriceBook:
        book = price_book_pb2.PriceBook()
        book.CopyFrom(request.price_book)
        book.name = "priceBooks/" + checked_id(request.price_book_id, field="price_book_id")
        if request.keep_others:
            wire.book_from(book)
        else:
            wire.require_book(book)
        book.effective_time.FromDatetime(self._clock.now())
        command = c.PublishBook(book.name, book.SerializeToString(), request.keep_others)
        return await self._once(call, command, lambda made: wire.book_message(made.document, made.version))

    async def PlaceHolds(self, request: pb.PlaceHoldsRequest, call: Call) -> pb.PlaceHoldsResponse:
        wire.require_count(request.items, HOLDS_MAX)
        placed = await self._holding.place(request.items)
        return pb.PlaceHoldsResponse(results=[_hold_result(each) for each in placed])

    async def RecordUsage(self, request: pb.RecordUsageRequest, call: Call) -> pb.RecordUsageResponse:
        wire.require_count(request.records, BATCH_MAX, "records")
        site, now_s = call.site, self._clock.monotonic()
        self._allowances[site] = spent(site, self._allowances.get(site), len(request.records), now_s, self._pace)
        return await self._metering.record(request, call.site)

    async def GetMeteringState(self, request: pb.GetMeteringStateRequest, call: Call) -> pb.MeteringState:
        works = tuple(request.works)
        if len(works) > WORKS_MAX:
            raise InvalidArgument("FIELD_INVALID", f"works: {len(works)} are more than {WORKS_MAX}", field="works")
        found = await self._ledger.page(q.UsageOfMeter(call.site, request.epoch, frozenset(works)))
        return wire.metering_state_to(found)

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
        [result] = await self._books.apply([c.Once(request, command, answer, self._now_us())])
        if isinstance(result, Refusal):
            raise result
        if isinstance(result, c.Replayed):
            raise AlreadyAnswered(_answered(result.record))
        return shown(result)

    def _now_us(self) -> int:
        return wire.microseconds(self._clock.now())


def _answered(record: bytes) -> Answered:
    return Answered(document_pb2.RequestRecord.FromString(record))


def _hold_result(placed: pb.MoneyHold | Refusal) -> pb.MoneyHoldResult:
    if isinstance(placed, Refusal):
        return pb.MoneyHoldResult(error=status_of(placed, area="accounting"))
    return pb.MoneyHoldResult(hold=placed)
