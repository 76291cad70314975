"""Money: accounts, and what they were charged for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.accounting.v1 import account_pb2, usage_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh_client.paging import pages
from suanmesh_client.texts import refusal
from suanmesh_kernel.refusals import FailedPrecondition
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_client.client import Client

DIGITS = 6


def exact(micros: int) -> Decimal:
    """An amount in the account's currency, exactly, with all its six digits, as the command line writes it."""
    return Decimal(micros).scaleb(-DIGITS)


class Money:
    """What you pay."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._own = ""

    async def account(self) -> str:
        """The account of the context, or your only one. Raises FailedPrecondition (`ACCOUNT_AMBIGUOUS`)."""
        self._own = self._own or self._client.account
        if not self._own:
            found = [each.name async for each in self.accounts()]
            if len(found) != 1:
                known = ", ".join(found)
                said = Text(
                    f"name one of your accounts: {known or 'there is none'}", f"请指明一个账户：{known or '没有账户'}"
                )
                raise refusal(FailedPrecondition, "ACCOUNT_AMBIGUOUS", said)
            self._own = found[0]
        return self._own

    async def accounts(self) -> AsyncIterator[account_pb2.Account]:
        """Your accounts, with what is left in them and what is held."""
        async for found in pages(self._client.stubs.accounting.ListAccounts, pb.ListAccountsRequest(), "accounts"):
            yield found

    async def charges(
        self, account: str = "", *, job: str = "", start: datetime | None = None, end: datetime | None = None
    ) -> AsyncIterator[usage_pb2.Charge]:
        """Every charge, each with its price and how it was rounded; of one job, or rated from `start` up to `end`."""
        request = pb.GetBillRequest(account=account or await self.account(), job=job)
        for moment, field in ((start, request.start_time), (end, request.end_time)):
            if moment is not None:
                stamp = Timestamp()
                stamp.FromDatetime(moment)
                field.CopyFrom(stamp)
        async for charge in pages(self._client.stubs.accounting.GetBill, request, "charges"):
            yield charge
