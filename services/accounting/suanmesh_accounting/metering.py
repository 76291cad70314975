"""Taking usage in: the signatures, what others know of the work, then one transaction that stores and rates."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import structlog
from google.protobuf.message import DecodeError
from opentelemetry.trace import Span

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_accounting import wire
from suanmesh_accounting.domain.commands import ExpireUsage, Measured, RecordUsage
from suanmesh_accounting.domain.ledger import HoldState, Move
from suanmesh_accounting.domain.quarantine import Room
from suanmesh_accounting.domain.queries import HoldStates, PayableQuarantine, QuarantineSize
from suanmesh_accounting.ports import Ledger, Mesh, accepted
from suanmesh_chassis.bounds import require_within
from suanmesh_chassis.signing import verify
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import InvalidArgument, Refusal, ResourceExhausted
from suanmesh_telemetry import current_traceparent, names, span
from suanmesh_telemetry.metrics import QUARANTINE_EXPIRED, QUARANTINE_REFUSED, QUARANTINED

log = structlog.get_logger()

PAYLOAD_TYPE = usage_pb2.UsageRecord.DESCRIPTOR.full_name
EPOCH = re.compile(r"[a-z0-9]{1,63}")
"""Without hyphens, so that no two sites can name a charge alike."""
TOGETHER_MAX = 250
"""Records stored in one transaction: a hold that comes in between does not wait for a whole batch."""

EXPIRE_MAX = 500
"""Records dropped in one pass; more of them wait for the next."""

Taken = pb.UsageCharges | Refusal
"""What became of a record."""
Work = tuple[str, str, str]
"""Of which trace, placement and site a record is."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A record whose signature is right: what it says, as it was signed, and the trace of what it measured."""

    measured: Measured
    signed: signed_pb2.Signed
    traceparent: str


@dataclass(frozen=True, slots=True)
class Known:
    """What others know of the work that was measured."""

    moves: Mapping[str, Move | None]
    committed: frozenset[str]
    """Placements that were committed, of those whose hold has not been bound yet."""


class Metering:
    """Verifies, stores and rates signed usage."""

    def __init__(
        self, ledger: Ledger, mesh: Mesh, clock: Clock, nudge: Callable[[Iterable[str]], None], room: Room
    ) -> None:
        """`nudge` is told the placements of final records that were stored, so that their holds are looked at."""
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
            good = [claim for claim in claims if isinstance(claim, Claim)]
            results = iter(await self._apply(good))
            taken += [next(results) if isinstance(claim, Claim) else claim for claim in claims]
            self._nudge({claim.measured.placement for claim in good if claim.measured.final})
        full = sum(isinstance(each, ResourceExhausted) for each in taken)
        if full:
            QUARANTINE_REFUSED.inc(full)
            log.warning("usage quarantine full", site=site, dropped=full)
        return taken

    async def look_again(self, after: int) -> int:
        """Rate records in quarantine whose placement has a hold by now; where to go on, 0 at the end."""
        found = await self._ledger.page(PayableQuarantine(after, TOGETHER_MAX))
        await self._apply([_claim_in(kept.signed) for kept in found])
        return found[-1].id if len(found) == TOGETHER_MAX else 0

    async def expire(self) -> None:
        """Drop some of the records that lay in quarantine for too long, and tell of how many are there."""
        before = wire.microseconds(self._clock.now() - self._room.age)
        [dropped] = await self._ledger.apply([ExpireUsage(before, EXPIRE_MAX)])
        for site, records in accepted(dropped).items():
            QUARANTINE_EXPIRED.inc(records)
            log.warning("usage expired in quarantine", site=site, dropped=records)
        size: int = await self._ledger.page(QuarantineSize())
        QUARANTINED.set(size)

    def _claimed(self, item: pb.UsageItem, site: str) -> Claim | Refusal:
        try:
            measured = self._verified(item.record, site)
        except InvalidArgument as refusal:
            return refusal
        return Claim(measured, item.record, item.traceparent)

    def _verified(self, signed: signed_pb2.Signed, site: str) -> Measured:
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
        return wire.measured_from(record)

    async def _apply(self, claims: Sequence[Claim]) -> list[Taken]:
        """Store and charge records in one transaction, under a span for each trace and placement they are of."""
        known = await self._known([claim.measured for claim in claims])
        now_us = wire.microseconds(self._clock.now())
        commands = [self._command(claim, known, now_us) for claim in claims]
        works = Counter((claim.traceparent, claim.measured.placement, claim.measured.site) for claim in claims)
        with ExitStack() as spans:
            charging = {work: spans.enter_context(_charging(*work)) for work in works}
            results = await self._ledger.apply(commands)
            charges: Counter[Work] = Counter()
            for claim, result in zip(claims, results, strict=True):
                work = (claim.traceparent, claim.measured.placement, claim.measured.site)
                charges[work] += 0 if isinstance(result, Refusal) else len(result)
            for work, told in charging.items():
                told.set_attribute("suanmesh.records", charges[work])
        return [result if isinstance(result, Refusal) else pb.UsageCharges(charges=result) for result in results]

    def _command(self, claim: Claim, known: Known, now_us: int) -> RecordUsage:
        return RecordUsage(
            measured=claim.measured,
            signed=claim.signed.SerializeToString(),
            payload=claim.signed.payload,
            move=known.moves.get(claim.measured.transfer),
            committed=claim.measured.placement in known.committed,
            room=self._room,
            record_us=now_us,
        )

    async def _known(self, measured: Sequence[Measured]) -> Known:
        """Ask once for each transfer, and for each placement whose commit accounting has not seen.

        Nobody is asked about a placement without a hold: whatever is said of it, nothing of it can be rated.
        """
        states = await self._ledger.page(HoldStates(frozenset(each.placement for each in measured)))
        transfers = {each.transfer for each in measured if each.transfer and each.placement in states}
        moves = {name: await self._mesh.move_of(name) for name in sorted(transfers)}
        unseen = [name for name, state in states.items() if state is HoldState.HELD]
        return Known(moves, frozenset(await self._mesh.standing(unseen)) if unseen else frozenset())


def _claim_in(signed: bytes) -> Claim:
    """A stored record as a claim; its signature was checked when it came."""
    message = signed_pb2.Signed.FromString(signed)
    return Claim(wire.measured_from(usage_pb2.UsageRecord.FromString(message.payload)), message, "")


@contextmanager
def _charging(traceparent: str, placement: str, site: str) -> Iterator[Span]:
    """The spans of records of one placement; they belong to the trace of the work, or to that of the call."""
    parent = traceparent or current_traceparent()
    with (
        span(names.RATE_USAGE, parent=parent, placement=placement, site=site),
        span(names.CHARGE_ACCOUNT, placement=placement) as charging,
    ):
        yield charging
