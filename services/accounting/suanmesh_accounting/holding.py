"""Placing holds: the rows first, in one transaction, then the tokens that stand for them."""

from __future__ import annotations

from collections.abc import Sequence

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh_accounting import wire
from suanmesh_accounting.domain.commands import Command, MoveHold, PlaceHold
from suanmesh_accounting.domain.ledger import Hold, HoldState
from suanmesh_accounting.ports import HoldTokens, Ledger, accepted
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import checked_name, last
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, Refusal
from suanmesh_store import NewHold


class Holding:
    """Promises money to placements."""

    def __init__(self, ledger: Ledger, tokens: HoldTokens, clock: Clock) -> None:
        self._ledger = ledger
        self._tokens = tokens
        self._clock = clock

    async def place(self, asks: Sequence[pb.HoldAsk]) -> list[pb.MoneyHold | Refusal]:
        """Place holds; each stands or falls by itself. A row whose token could not be put is given back at once."""
        commands = [self._command(ask) for ask in asks]
        wanted: list[Command[Hold]] = [each for each in commands if isinstance(each, PlaceHold)]
        answers: list[Hold | Refusal] = await self._ledger.apply(wanted)
        placed = iter(answers)
        rows = [next(placed) if isinstance(each, PlaceHold) else each for each in commands]
        results = await self._with_tokens(asks, rows)
        lost = {name: None for row, result in zip(rows, results, strict=True) if (name := _lost(row, result))}
        for released in await self._ledger.apply([MoveHold(name, HoldState.RELEASED) for name in lost]):
            accepted(released)
        return results

    def _command(self, ask: pb.HoldAsk) -> PlaceHold | Refusal:
        try:
            _check(ask)
        except InvalidArgument as refusal:
            return refusal
        return PlaceHold(
            name=f"holds/{last(ask.placement)}-{ask.index}",
            account=ask.account,
            placement=ask.placement,
            position=ask.index,
            job=ask.job,
            site=ask.site,
            amount_micros=ask.amount_micros,
            price_book=ask.price_book,
            ask=ask.SerializeToString(),
            trace_id=ask.traceparent.split("-")[1] if ask.traceparent.count("-") == 3 else "",
            create_us=wire.microseconds(self._clock.now()),
        )

    async def _with_tokens(
        self, asks: Sequence[pb.HoldAsk], rows: Sequence[Hold | Refusal]
    ) -> list[pb.MoneyHold | Refusal]:
        """Put the tokens of all rows at once; what is asked for twice is put once."""
        places = [(ask.placement, ask.index, ask.attachment) for ask in asks]
        holds = {place: wire.hold_to(row) for place, row in zip(places, rows, strict=True) if isinstance(row, Hold)}
        wanted = [
            NewHold(placement, index, hold.SerializeToString(deterministic=True), attachment)
            for (placement, index, attachment), hold in holds.items()
        ]
        tokens = dict(zip(holds, await self._tokens.put_many(wanted) if wanted else (), strict=True))
        return [
            row if isinstance(row, Refusal) else _with_token(holds[place], tokens[place])
            for place, row in zip(places, rows, strict=True)
        ]


def _with_token(hold: usage_pb2.Hold, token: str | Refusal) -> pb.MoneyHold | Refusal:
    return token if isinstance(token, Refusal) else pb.MoneyHold(hold=hold, token=token)


def _lost(row: Hold | Refusal, result: pb.MoneyHold | Refusal) -> str:
    """The hold whose row stands though there will be no token for it, as its round is over; empty for none."""
    return row.name if isinstance(row, Hold) and isinstance(result, FailedPrecondition | InvalidArgument) else ""


def _check(ask: pb.HoldAsk) -> None:
    checked_name(ask.placement, "placements", field="placement")
    checked_name(ask.account, "accounts", field="account")
    for field, least in (("index", 0), ("amount_micros", 0)):
        if getattr(ask, field) < least:
            problem = f"{field}: {getattr(ask, field)} is not at least {least}"
            raise InvalidArgument("FIELD_INVALID", problem, field=field)
    if not ask.attachment:
        raise InvalidArgument("FIELD_INVALID", "attachment: a hold goes with its round", field="attachment")
    wire.tariffs_from(list(ask.link_prices))
