"""Taking usage in: the signature, whose it is, then one transaction that stores and rates it."""

from __future__ import annotations

import re
from collections.abc import Callable

from google.protobuf.message import DecodeError

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_accounting import ledger as sql
from suanmesh_accounting import rating, wire
from suanmesh_accounting.domain.ledger import HoldState, Move
from suanmesh_accounting.ledger import Ledger
from suanmesh_accounting.ports import Mesh
from suanmesh_chassis.signing import verify
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument
from suanmesh_telemetry import names, span

PAYLOAD_TYPE = usage_pb2.UsageRecord.DESCRIPTOR.full_name
EPOCH = re.compile(r"[a-z0-9]{1,63}")
"""Without hyphens, so that no two sites can name a charge alike."""


class Metering:
    """Verifies, stores and rates signed usage."""

    def __init__(self, ledger: Ledger, mesh: Mesh, clock: Clock, nudge: Callable[[], None]) -> None:
        """`nudge` is called when a final record was stored, so that its hold is looked at."""
        self._ledger = ledger
        self._mesh = mesh
        self._clock = clock
        self._nudge = nudge

    async def record(self, item: pb.UsageItem, site: str) -> pb.UsageCharges:
        """Take in one record that the agent of `site` sent."""
        record = self._verified(item.record, site)
        with span(names.RATE_USAGE, parent=item.traceparent, placement=record.placement, site=site):
            move = await self._mesh.move_of(record.transfer) if record.transfer else None
            entitled = await self._entitled(record, move)
            source = move.source if move else ""
            with span(names.CHARGE_ACCOUNT, placement=record.placement) as charging:
                rated = await self._ledger.run(
                    lambda c: rating.record_usage(
                        c, record, item.record, entitled=entitled, source=source, now=self._clock.now()
                    )
                )
                charging.set_attribute("suanmesh.records", len(rated.charges))
        if record.final:
            self._nudge()
        if not rated.ratable:
            reference = f"{record.site}/{record.epoch}/{record.sequence}"
            message = f"{reference} is kept, but no hold of {record.placement} lets it be charged"
            raise FailedPrecondition("USAGE_NOT_RATABLE", message, name=reference)
        return pb.UsageCharges(charges=rated.charges)

    def _verified(self, signed: signed_pb2.Signed, site: str) -> usage_pb2.UsageRecord:
        key = self._mesh.signing_key(site)
        if signed.payload_type != PAYLOAD_TYPE or key is None or not verify(signed, key):
            message = f"the record is not signed with the key {site} registered"
            raise InvalidArgument("USAGE_SIGNATURE_INVALID", message, field="record.signature", name=site)
        try:
            record = usage_pb2.UsageRecord.FromString(signed.payload)
        except DecodeError as error:
            raise InvalidArgument("FIELD_INVALID", "the record cannot be parsed", field="record.payload") from error
        if record.site != site:
            message = f"{site} cannot sign for {record.site}"
            raise InvalidArgument("USAGE_SIGNATURE_INVALID", message, field="record.site", name=site)
        if not EPOCH.fullmatch(record.epoch):
            problem = "an epoch is 1 to 63 lower-case letters and digits"
            raise InvalidArgument("FIELD_INVALID", problem, field="record.epoch")
        if record.sequence < 1:
            raise InvalidArgument("FIELD_INVALID", "records are numbered from 1", field="record.sequence")
        wire.readings_from(list(record.readings), "readings")
        return record

    async def _entitled(self, record: usage_pb2.UsageRecord, move: Move | None) -> bool:
        """Whether the placement's usage may come from that site; binds the hold if its commit was not seen yet."""
        hold = await self._ledger.run(lambda c: sql.hold_of(c, record.placement))
        if hold is None:
            return False
        if hold.state == HoldState.HELD and await self._mesh.standing(record.placement) is not None:
            await self._ledger.run(lambda c: sql.move_hold(c, hold.name, HoldState.COMMITTED))
        if record.transfer:
            return move is not None and (move.target, move.placement) == (record.site, record.placement)
        return bool(hold.site == record.site)
