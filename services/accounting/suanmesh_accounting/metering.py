"""Taking usage in: the signatures, what others know of the work, then one transaction that stores and rates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from google.protobuf.message import DecodeError
from sqlalchemy import Connection

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_accounting import ledger as sql
from suanmesh_accounting import rating, wire
from suanmesh_accounting.domain.ledger import Move
from suanmesh_accounting.ledger import Ledger
from suanmesh_accounting.ports import Mesh
from suanmesh_accounting.rating import Claim
from suanmesh_chassis.bounds import require_within
from suanmesh_chassis.signing import verify
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, Refusal
from suanmesh_telemetry import current_traceparent, names, span

PAYLOAD_TYPE = usage_pb2.UsageRecord.DESCRIPTOR.full_name
EPOCH = re.compile(r"[a-z0-9]{1,63}")
"""Without hyphens, so that no two sites can name a charge alike."""
TOGETHER_MAX = 50
"""Records stored in one transaction: a hold that comes in between does not wait for a whole batch."""

Taken = pb.UsageCharges | Refusal
"""What became of a record."""


@dataclass(frozen=True, slots=True)
class Known:
    """What others know of the work that was measured."""

    moves: Mapping[str, Move | None]
    committed: frozenset[str]
    """Placements that were committed, of those whose hold has not been bound yet."""


class Metering:
    """Verifies, stores and rates signed usage."""

    def __init__(self, ledger: Ledger, mesh: Mesh, clock: Clock, nudge: Callable[[], None]) -> None:
        """`nudge` is called when a final record was stored, so that its hold is looked at."""
        self._ledger = ledger
        self._mesh = mesh
        self._clock = clock
        self._nudge = nudge

    async def record(self, items: Sequence[pb.UsageItem], site: str) -> list[Taken]:
        """Take in what the agent of `site` sent. Each record stands or falls by itself, in order."""
        taken: list[Taken] = []
        for start in range(0, len(items), TOGETHER_MAX):
            claims = [self._claimed(item, site) for item in items[start : start + TOGETHER_MAX]]
            known = await self._known([claim.record for claim in claims if isinstance(claim, Claim)])
            taken += await self._ledger.run(partial(self._taken, claims=claims, known=known))
            if any(isinstance(claim, Claim) and claim.record.final for claim in claims):
                self._nudge()
        return taken

    def _claimed(self, item: pb.UsageItem, site: str) -> Claim | Refusal:
        try:
            record = self._verified(item.record, site)
        except InvalidArgument as refusal:
            return refusal
        return Claim(record, item.record, item.traceparent or current_traceparent())

    def _verified(self, signed: signed_pb2.Signed, site: str) -> usage_pb2.UsageRecord:
        key = self._mesh.signing_key(site)
        if signed.payload_type != PAYLOAD_TYPE or key is None or not verify(signed, key):
            message = f"the record is not signed with the key {site} registered"
            raise InvalidArgument("USAGE_SIGNATURE_INVALID", message, field="record.signature", name=site)
        try:
            record = usage_pb2.UsageRecord.FromString(signed.payload)
        except DecodeError as error:
            raise InvalidArgument("FIELD_INVALID", "the record cannot be parsed", field="record.payload") from error
        require_within(record, field="record.payload")
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

    async def _known(self, records: Iterable[usage_pb2.UsageRecord]) -> Known:
        """Ask once for each transfer, and for each placement whose commit accounting has not seen."""
        transfers = {record.transfer for record in records if record.transfer}
        placements = {record.placement for record in records}
        moves = {name: await self._mesh.move_of(name) for name in sorted(transfers)}
        unseen = await self._ledger.run(lambda c: sql.unbound_placements(c, placements))
        committed = [name for name in unseen if await self._mesh.standing(name) is not None]
        return Known(moves, frozenset(committed))

    def _taken(self, c: Connection, *, claims: Iterable[Claim | Refusal], known: Known) -> list[Taken]:
        """Store and rate records in one transaction; one that is refused leaves no trace."""
        taken: list[Taken] = []
        for claim in claims:
            try:
                taken.append(self._rated(c, claim, known) if isinstance(claim, Claim) else claim)
            except Refusal as refusal:
                taken.append(refusal)
        return taken

    def _rated(self, c: Connection, claim: Claim, known: Known) -> Taken:
        record = claim.record
        with span(names.RATE_USAGE, parent=claim.traceparent, placement=record.placement, site=record.site):
            if record.placement in known.committed:
                sql.bind_hold(c, record.placement)
            with span(names.CHARGE_ACCOUNT, placement=record.placement) as charging, c.begin_nested():
                rated = rating.record_usage(c, claim, known.moves.get(record.transfer), self._clock.now())
                charging.set_attribute("suanmesh.records", len(rated.charges))
        return pb.UsageCharges(charges=rated.charges) if rated.ratable else _not_ratable(claim)


def _not_ratable(claim: Claim) -> FailedPrecondition:
    message = f"{claim.reference} is kept, but no hold of {claim.record.placement} lets it be charged"
    return FailedPrecondition("USAGE_NOT_RATABLE", message, name=claim.reference)
