"""Placing holds: the row first, then the token that stands for it."""

from __future__ import annotations

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh_accounting import ledger as sql
from suanmesh_accounting import wire
from suanmesh_accounting.domain.ledger import HoldState
from suanmesh_accounting.ledger import Ledger
from suanmesh_accounting.ports import Tokens
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import checked_name, last
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument


class Holding:
    """Promises money to placements."""

    def __init__(self, ledger: Ledger, tokens: Tokens, clock: Clock) -> None:
        self._ledger = ledger
        self._tokens = tokens
        self._clock = clock

    async def place(self, ask: pb.HoldAsk) -> pb.MoneyHold:
        """Place one hold. A row whose token could not be put is given back at once."""
        _check(ask)
        name = f"holds/{last(ask.placement)}-{ask.index}"
        trace_id = ask.traceparent.split("-")[1] if ask.traceparent.count("-") == 3 else ""
        now = self._clock.now()
        row = await self._ledger.run(lambda c: sql.add_hold(c, name, ask, trace_id, now))
        hold = wire.hold_to(row)
        try:
            value = hold.SerializeToString(deterministic=True)
            token = await self._tokens.put(ask.placement, ask.index, value, ask.attachment)
        except (FailedPrecondition, InvalidArgument):
            await self._ledger.run(lambda c: sql.move_hold(c, name, HoldState.RELEASED))
            raise
        return pb.MoneyHold(hold=hold, token=token)


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
