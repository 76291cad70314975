"""Taking usage in: the signatures, what others know of the work, then one transaction that stores and rates.

A site has a bounded part of it under way at a time, however many calls it sends. Signatures are checked and refusals
put into words by a thread of their own, so that whoever asks meanwhile waits for neither.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

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
from suanmesh_kernel.refusals import InvalidArgument, Refusal, ResourceExhausted, Unavailable
from suanmesh_sdk.status import status_of
from suanmesh_store import WorkQueue
from suanmesh_telemetry import current_traceparent, names, span
from suanmesh_telemetry.metrics import QUARANTINE_EXPIRED, QUARANTINE_REFUSED, QUARANTINED

log = structlog.get_logger()

T = TypeVar("T")

PAYLOAD_TYPE = usage_pb2.UsageRecord.DESCRIPTOR.full_name
EPOCH = re.compile(r"[a-z0-9]{1,63}")
"""Without hyphens, so that no two sites can name a charge alike."""
TOGETHER_MAX = 500
"""Records stored in one transaction: a hold that comes in between does not wait for a whole batch."""
SITE_UNDER_WAY_MAX = 2
"""Parts of batches that a site has under way, each of TOGETHER_MAX records: one is checked while one is stored."""

EXPIRE_MAX = 500
"""Records dropped in one pass; more of them wait for the next."""

Taken = pb.UsageCharges | Refusal
"""What became of a record."""
Subject = tuple[str, str, str]
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
    held: frozenset[str]
    """Placements that have a hold."""
    committed: frozenset[str]
    """Placements that were committed, of those whose hold has not been bound yet."""


class Metering:
    """Verifies, stores and rates signed usage."""

    def __init__(self, ledger: Ledger, mesh: Mesh, clock: Clock, room: Room) -> None:
        self._room = room
        self._ledger = ledger
        self._mesh = mesh
        self._clock = clock
        self.finals = WorkQueue()
        """Placements whose final records were stored: their holds are to be looked at."""
        self._checking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="usage")
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._closed = False

    async def record(self, items: Sequence[pb.UsageItem], site: str) -> list[pb.UsageResult]:
        """Take in what the agent of `site` sent. Each record stands or falls by itself, in order."""
        turn = self._turns.setdefault(site, asyncio.Semaphore(SITE_UNDER_WAY_MAX))
        results: list[pb.UsageResult] = []
        for start in range(0, len(items), TOGETHER_MAX):
            async with turn:
                results += await self._record(items[start : start + TOGETHER_MAX], site)
        return results

    async def _record(self, items: Sequence[pb.UsageItem], site: str) -> list[pb.UsageResult]:
        key = self._mesh.signing_key(site)
        claims = await self._in_thread(lambda: [_claimed(item, site, key) for item in items])
        good = [claim for claim in claims if isinstance(claim, Claim)]
        applied = iter(await self._apply(good))
        self.finals.add({claim.measured.placement for claim in good if claim.measured.final})
        taken = [next(applied) if isinstance(claim, Claim) else claim for claim in claims]
        if full := sum(isinstance(each, ResourceExhausted) for each in taken):
            QUARANTINE_REFUSED.inc(full)
            log.warning("usage quarantine full", site=site, dropped=full)
        return await self._in_thread(lambda: [_result(each) for each in taken])

    async def _in_thread(self, work: Callable[[], list[T]]) -> list[T]:
        if self._closed:
            raise Unavailable("NOT_READY", "usage is taken in by another instance", domain="mesh.suanmesh")
        return await asyncio.get_running_loop().run_in_executor(self._checking, work)

    def close(self) -> None:
        """Let the thread end, and take nothing more."""
        self._closed = True
        self._checking.shutdown()

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

    async def _apply(self, claims: Sequence[Claim]) -> list[Taken]:
        """Store and charge records in one transaction, under a span for each trace and placement that has a hold."""
        known = await self._known([claim.measured for claim in claims])
        now_us = wire.microseconds(self._clock.now())
        commands = [self._command(claim, known, now_us) for claim in claims]
        works = [(claim.traceparent, claim.measured.placement, claim.measured.site) for claim in claims]
        with ExitStack() as spans:
            payable = dict.fromkeys(work for work in works if work[1] in known.held)
            charging = {work: spans.enter_context(_charging(*work)) for work in payable}
            results = await self._ledger.apply(commands)
            charges: Counter[Subject] = Counter()
            for work, result in zip(works, results, strict=True):
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
        committed = frozenset(await self._mesh.standing(unseen)) if unseen else frozenset()
        return Known(moves, frozenset(states), committed)


def _claimed(item: pb.UsageItem, site: str, key: bytes | None) -> Claim | Refusal:
    """What a site says, where it can be believed; `key` is its public one, None where it has none."""
    try:
        measured = _verified(item.record, site, key)
    except InvalidArgument as refusal:
        return refusal
    return Claim(measured, item.record, item.traceparent)


def _verified(signed: signed_pb2.Signed, site: str, key: bytes | None) -> Measured:
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


def _result(taken: Taken) -> pb.UsageResult:
    if isinstance(taken, Refusal):
        return pb.UsageResult(error=status_of(taken, area="accounting"))
    return pb.UsageResult(charges=taken)


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
