"""Taking usage in: the signatures, what others know of the work, then one transaction that stores and rates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from google.protobuf.message import DecodeError
from sqlalchemy import Connection

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_accounting import ledger as sql
from suanmesh_accounting import rating, wire
from suanmesh_accounting.domain.ledger import Move
from suanmesh_accounting.domain.quarantine import Room
from suanmesh_accounting.ledger import Ledger
from suanmesh_accounting.ports import Mesh
from suanmesh_accounting.rating import Apart, Claim
from suanmesh_chassis.bounds import require_within
from suanmesh_chassis.signing import verify
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, Refusal, ResourceExhausted
from suanmesh_telemetry import current_traceparent, names, span
from suanmesh_telemetry.metrics import QUARANTINE_EXPIRED, QUARANTINE_REFUSED, QUARANTINED

log = structlog.get_logger()

PAYLOAD_TYPE = usage_pb2.UsageRecord.DESCRIPTOR.full_name
EPOCH = re.compile(r"[a-z0-9]{1,63}")
"""Without hyphens, so that no two sites can name a charge alike."""
TOGETHER_MAX = 50
"""Records stored in one transaction: a hold that comes in between does not wait for a whole batch."""

EXPIRE_MAX = 500
"""Records dropped in one pass; more of them wait for the next."""

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

    def __init__(self, ledger: Ledger, mesh: Mesh, clock: Clock, nudge: Callable[[], None], room: Room) -> None:
        """`nudge` is called when a final record was stored, so that its hold is looked at."""
        self._room = room
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
        full = sum(isinstance(each, ResourceExhausted) for each in taken)
        if full:
            QUARANTINE_REFUSED.inc(full)
            log.warning("usage quarantine full", site=site, dropped=full)
        return taken

    async def look_again(self, after: int) -> int:
        """Rate records in quarantine whose placement has a hold by now; where to go on, 0 at the end."""
        found = await self._ledger.run(lambda c: rating.payable_apart(c, after, TOGETHER_MAX))
        claims = [claim for _, claim in found]
        known = await self._known([claim.record for claim in claims])
        await self._ledger.run(partial(self._taken, claims=claims, known=known))
        return found[-1][0] if len(found) == TOGETHER_MAX else 0

    async def expire(self) -> None:
        """Drop some of the records that lay in quarantine for too long, and tell of how many are there."""
        before = self._clock.now() - self._room.age
        dropped = await self._ledger.run(lambda c: rating.expire_apart(c, before, EXPIRE_MAX))
        for site, records in dropped.items():
            QUARANTINE_EXPIRED.inc(records)
            log.warning("usage expired in quarantine", site=site, dropped=records)
        QUARANTINED.set(await self._ledger.run(rating.count_apart))

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

    async def _known(self, records: Sequence[usage_pb2.UsageRecord]) -> Known:
        """Ask once for each transfer, and for each placement whose commit accounting has not seen.

        Nobody is asked about a placement without a hold: whatever is said of it, nothing of it can be rated.
        """
        named = {record.placement for record in records}
        placements = set(await self._ledger.run(lambda c: sql.held_placements(c, named)))
        transfers = {record.transfer for record in records if record.transfer and record.placement in placements}
        moves = {name: await self._mesh.move_of(name) for name in sorted(transfers)}
        unseen = await self._ledger.run(lambda c: sql.unbound_placements(c, placements))
        committed = [name for name in unseen if await self._mesh.standing(name) is not None]
        return Known(moves, frozenset(committed))

    def _taken(self, c: Connection, *, claims: Iterable[Claim | Refusal], known: Known) -> list[Taken]:
        """Store and rate records in one transaction; one that is refused leaves no trace."""
        taken: list[Taken] = []
        apart = Apart(c, self._room)
        for claim in claims:
            try:
                taken.append(self._rated(c, claim, known, apart) if isinstance(claim, Claim) else claim)
            except Refusal as refusal:
                taken.append(refusal)
        return taken

    def _rated(self, c: Connection, claim: Claim, known: Known, apart: Apart) -> Taken:
        record, now = claim.record, self._clock.now()
        move = known.moves.get(record.transfer)
        if record.placement in known.committed:
            sql.bind_hold(c, record.placement)
        hold = rating.paying_hold(c, record, move)
        if hold is None:
            rating.put_apart(c, claim, apart, now)
            return _not_ratable(claim)
        with (
            span(names.RATE_USAGE, parent=claim.traceparent, placement=record.placement, site=record.site),
            span(names.CHARGE_ACCOUNT, placement=record.placement) as charging,
            c.begin_nested(),
        ):
            charges = rating.record_usage(c, claim, hold, move, now)
            charging.set_attribute("suanmesh.records", len(charges))
        return pb.UsageCharges(charges=charges)


def _not_ratable(claim: Claim) -> FailedPrecondition:
    message = f"{claim.reference} is kept, but no hold of {claim.record.placement} lets it be charged"
    return FailedPrecondition("USAGE_NOT_RATABLE", message, name=claim.reference)
