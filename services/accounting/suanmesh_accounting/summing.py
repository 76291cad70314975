"""What an account was charged in a period, summed by what it was for."""

from __future__ import annotations

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.type.v1 import money_pb2
from suanmesh_accounting import wire
from suanmesh_accounting.domain import queries as q
from suanmesh_accounting.ports import LedgerReads
from suanmesh_chassis import Call
from suanmesh_kernel.refusals import invalid_field

FAR_US = 2**62
OFFSET_MIN_MAX = 18 * 60
MINUTE_US = 60_000_000
_GROUPS = {
    pb.SummarizeChargesRequest.GROUP_BY_JOB: q.ChargeGroup.JOB,
    pb.SummarizeChargesRequest.GROUP_BY_DAY: q.ChargeGroup.DAY,
    pb.SummarizeChargesRequest.GROUP_BY_SITE: q.ChargeGroup.SITE,
    pb.SummarizeChargesRequest.GROUP_BY_METER: q.ChargeGroup.METER,
    pb.SummarizeChargesRequest.GROUP_BY_DATASET: q.ChargeGroup.DATASET,
}


async def summarized(
    ledger: LedgerReads, request: pb.SummarizeChargesRequest, call: Call, party: str
) -> pb.SummarizeChargesResponse:
    """The answer; of an account of `party`, or of anybody's where that is empty.

    Raises InvalidArgument (`FIELD_INVALID`, `PAGE_TOKEN_INVALID`) and NotFound (`ACCOUNT_UNKNOWN`).
    """
    start_us, end_us = period_of(request)
    group = _GROUPS.get(request.group_by)
    if group is None:
        raise invalid_field("group_by", f"{request.group_by} is nothing to sum by")
    if abs(request.utc_offset_min) > OFFSET_MIN_MAX:
        raise invalid_field("utc_offset_min", f"{request.utc_offset_min} is not within {OFFSET_MIN_MAX} of UTC")
    scope = f"{call.method} {request.account} {group} {start_us} {end_us} {request.utc_offset_min}"
    cut = q.cut_of(request.page_size, request.page_token, scope)
    offset_us = request.utc_offset_min * MINUTE_US
    found = await ledger.page(q.SummedCharges(cut, request.account, party, group, start_us, end_us, offset_us))
    return pb.SummarizeChargesResponse(
        account=found.account.name,
        currency=found.account.currency,
        sums=[_sum_to(each, group, offset_us) for each in found.sums.items],
        charges=found.charges,
        total_micros=found.total_micros,
        waived_micros=found.waived_micros,
        next_page_token=found.sums.next_page_token,
    )


def period_of(request: pb.SummarizeChargesRequest | pb.GetBillRequest) -> tuple[int, int]:
    """From when on and before when a charge was rated, in microseconds since 1970."""
    start_us = wire.checked_us(request.start_time, "start_time") if request.HasField("start_time") else 0
    end_us = wire.checked_us(request.end_time, "end_time") if request.HasField("end_time") else FAR_US
    return start_us, end_us


def _sum_to(found: q.ChargeSum, group: q.ChargeGroup, offset_us: int) -> pb.ChargeSum:
    message = pb.ChargeSum(
        charges=found.charges,
        amount_micros=found.amount_micros,
        waived_micros=found.waived_micros,
        first_time=wire.timestamp(found.first_us),
        last_time=wire.timestamp(found.last_us),
    )
    if group is q.ChargeGroup.JOB:
        message.job = str(found.key)
    elif group is q.ChargeGroup.SITE:
        message.site = str(found.key)
    elif group is q.ChargeGroup.METER:
        message.meter = money_pb2.Meter.ValueType(int(found.key))
    elif group is q.ChargeGroup.DATASET:
        if found.key != q.NO_DATASET:
            message.dataset = "" if found.key == q.NOT_RECORDED else str(found.key)
    else:
        message.day.CopyFrom(wire.timestamp(int(found.key) * q.DAY_US - offset_us))
    return message
