"""What a site has sent: whether it signed it, what each record of it says, and what it is told of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh_accounting import wire
from suanmesh_accounting.domain.commands import Measured, Outcome, SignedBatch
from suanmesh_chassis.bounds import require_within
from suanmesh_chassis.signing import verify
from suanmesh_kernel import merkle
from suanmesh_kernel.key_windows import KeyWindow
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, Refusal
from suanmesh_sdk.status import status_of

PAYLOAD_TYPE = usage_pb2.UsageBatch.DESCRIPTOR.full_name
EPOCH = re.compile(r"[a-z0-9]{1,63}")
"""Without hyphens, so that no two sites can name a charge alike."""

_Answer = pb.RecordUsageResponse


@dataclass(frozen=True, slots=True)
class Claims:
    """A batch that is signed as it should be, and what its records say, in order; or why one of them says nothing."""

    batch: SignedBatch
    records: Sequence[Measured | Refusal]


def claims_of(request: pb.RecordUsageRequest, site: str, key: KeyWindow | None, now: datetime) -> Claims:
    """What a site says, where it can be believed; `key` is the one the batch names, None where the site has no such.

    Raises InvalidArgument (`USAGE_SIGNATURE_INVALID`, `FIELD_INVALID`), FailedPrecondition (`USAGE_KEY_LAPSED`) where
    nothing of it can.
    """
    signed, records = request.batch, list(request.records)
    if signed.payload_type != PAYLOAD_TYPE or key is None or not verify(signed, key.public_key):
        raise _unsigned(f"the batch is not signed with a key {site} registered", "batch.signature", site)
    try:
        batch = usage_pb2.UsageBatch.FromString(signed.payload)
    except DecodeError as error:
        raise InvalidArgument("FIELD_INVALID", "the batch cannot be parsed", field="batch.payload") from error
    require_within(batch, field="batch.payload")
    if batch.site != site:
        raise _unsigned(f"{site} cannot sign for {batch.site}", "batch.payload.site", site)
    _require_good(key, batch, now)
    leaves = merkle.leaf_hashes(records)
    if (batch.tree_size, batch.root_hash) != (len(records), merkle.root_hash(leaves)):
        raise _unsigned(f"these are not the {batch.tree_size} records that {site} has signed", "records", site)
    claims = [_claimed(raw, site, index) for index, raw in enumerate(records)]
    return Claims(SignedBatch(signed.SerializeToString(), b"".join(leaves)), claims)


def _require_good(key: KeyWindow, batch: usage_pb2.UsageBatch, now: datetime) -> None:
    """Raises FailedPrecondition (`USAGE_KEY_LAPSED`) where the key does not vouch for what was signed at that time."""
    try:
        signed = batch.sign_time.ToDatetime(UTC) if batch.HasField("sign_time") else None
    except (OverflowError, ValueError):
        signed = None
    if signed is None:
        raise InvalidArgument("FIELD_INVALID", "the batch was signed at no time", field="batch.payload.sign_time")
    if fault := key.fault(signed, now):
        raise FailedPrecondition("USAGE_KEY_LAPSED", f"the batch is refused: {fault.value}", key_id=key.key_id)


def answer_of(outcomes: Iterable[Outcome]) -> pb.RecordUsageResponse:
    """What a site is told of its records, in order."""
    told: list[pb.RecordUsageResponse.Outcome.ValueType] = []
    refused: dict[tuple[type[Refusal], str, str], pb.RefusedUsage] = {}
    for index, outcome in enumerate(outcomes):
        if not isinstance(outcome, Refusal):
            told.append(_Answer.OUTCOME_DUPLICATE if outcome.again else _Answer.OUTCOME_STORED)
            continue
        told.append(_Answer.OUTCOME_REFUSED)
        kind = (type(outcome), outcome.reason, outcome.message)
        if kind not in refused:
            refused[kind] = pb.RefusedUsage(error=status_of(outcome, area="accounting"))
        refused[kind].records.append(index)
    return pb.RecordUsageResponse(outcomes=told, refusals=refused.values())


def _claimed(raw: bytes, site: str, index: int) -> Measured | Refusal:
    try:
        return _measured(raw, site, index)
    except InvalidArgument as refusal:
        return refusal


def _measured(raw: bytes, site: str, index: int) -> Measured:
    try:
        record = usage_pb2.UsageRecord.FromString(raw)
    except DecodeError as error:
        raise InvalidArgument("FIELD_INVALID", "the record cannot be parsed", field="records") from error
    require_within(record, field="records")
    if record.site != site:
        raise _unsigned(f"{site} cannot sign for {record.site}", "records.site", site)
    if not EPOCH.fullmatch(record.epoch):
        problem = "an epoch is 1 to 63 lower-case letters and digits"
        raise InvalidArgument("FIELD_INVALID", problem, field="records.epoch")
    if record.sequence < 1:
        raise InvalidArgument("FIELD_INVALID", "records are numbered from 1", field="records.sequence")
    return wire.measured_from(raw, record, index)


def _unsigned(message: str, field: str, site: str) -> InvalidArgument:
    return InvalidArgument("USAGE_SIGNATURE_INVALID", message, field=field, name=site)
