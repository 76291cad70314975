"""Taking usage in: the signature, what others know of the work, then one transaction that stores and rates.

A site has a bounded part of it under way at a time, however many calls it sends. What takes its time, the records of a
large batch and the refusals of them, is read and written by a thread of its own: whoever asks meanwhile does not wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog
from opentelemetry.trace import Span

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh_accounting import wire
from suanmesh_accounting.domain.commands import ExpireUsage, Measured, Outcome, RecordUsage, SignedBatch
from suanmesh_accounting.domain.ledger import HoldState, Move
from suanmesh_accounting.domain.quarantine import Room
from suanmesh_accounting.domain.queries import HoldStates, PayableQuarantine, QuarantineSize
from suanmesh_accounting.ports import Ledger, Mesh, accepted
from suanmesh_accounting.signed_usage import answer_of, claims_of
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import InvalidArgument, Refusal, ResourceExhausted, Unavailable
from suanmesh_store import WorkQueue
from suanmesh_telemetry import current_traceparent, names, span
from suanmesh_telemetry.metrics import QUARANTINE_EXPIRED, QUARANTINE_REFUSED, QUARANTINED

log = structlog.get_logger()

T = TypeVar("T")

SITE_UNDER_WAY_MAX = 2
"""Batches that a site has under way: one is checked while one is stored."""
AT_ONCE_MAX = 8
"""Records that are checked at once: one signature takes as long as handing it to a thread and being told."""
LOOK_AGAIN_MAX = 500
"""Records of the quarantine looked at in one pass."""
EXPIRE_MAX = 500
"""Records dropped in one pass; more of them wait for the next."""

Subject = tuple[str, str]
"""Of which trace and placement a record is."""


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

    async def record(self, request: pb.RecordUsageRequest, site: str) -> pb.RecordUsageResponse:
        """Take in what the agent of `site` sent. Each record stands or falls by itself.

        Raises InvalidArgument (`USAGE_SIGNATURE_INVALID`, `FIELD_INVALID`) and FailedPrecondition (`USAGE_KEY_LAPSED`)
        where nothing of it can be believed.
        """
        traces = list(request.traceparents) or [""] * len(request.records)
        if len(traces) != len(request.records):
            problem = f"traceparents: {len(traces)} are not one for each of {len(request.records)} records"
            raise InvalidArgument("FIELD_INVALID", problem, field="traceparents")
        async with self._turns.setdefault(site, asyncio.Semaphore(SITE_UNDER_WAY_MAX)):
            outcomes = await self._record(request, traces, site)
            if full := sum(isinstance(each, ResourceExhausted) for each in outcomes):
                QUARANTINE_REFUSED.inc(full)
                log.warning("usage quarantine full", site=site, dropped=full)
            return await self._aside(len(outcomes), lambda: answer_of(outcomes))

    async def _record(self, request: pb.RecordUsageRequest, traces: Sequence[str], site: str) -> list[Outcome]:
        signed = request.batch.key_id
        key = (await self._mesh.signing_keys(site, (signed,))).get(signed)
        now = self._clock.now()
        claims = await self._aside(len(request.records), lambda: claims_of(request, site, key, now))
        good = tuple(claim for claim in claims.records if not isinstance(claim, Refusal))
        subjects = [(traces[each.leaf_index], each.placement) for each in good]
        applied = iter(await self._apply({site: good}, claims.batch, subjects))
        self.finals.add({each.placement for each in good if each.final})
        return [claim if isinstance(claim, Refusal) else next(applied) for claim in claims.records]

    async def _aside(self, records: int, work: Callable[[], T]) -> T:
        """Do `work` on so many records where nobody waits for it, unless that would take longer than the work."""
        if self._closed:
            raise Unavailable("NOT_READY", "usage is taken in by another instance", domain="mesh.suanmesh")
        if records <= AT_ONCE_MAX:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._checking, work)

    def close(self) -> None:
        """Let the thread end, and take nothing more."""
        self._closed = True
        self._checking.shutdown()

    async def look_again(self, after: int) -> int:
        """Rate records in quarantine whose placement has a hold by now; where to go on, 0 at the end."""
        found = await self._ledger.page(PayableQuarantine(after, LOOK_AGAIN_MAX))
        of_site: dict[str, tuple[Measured, ...]] = {}
        for kept in found:
            measured = wire.measured_from(kept.record, usage_pb2.UsageRecord.FromString(kept.record), 0)
            of_site[measured.site] = (*of_site.get(measured.site, ()), measured)
        await self._apply(of_site, None, [("", each.placement) for records in of_site.values() for each in records])
        return found[-1].id if len(found) == LOOK_AGAIN_MAX else 0

    async def expire(self) -> None:
        """Drop some of the records that lay in quarantine for too long, and tell of how many are there."""
        before = wire.microseconds(self._clock.now() - self._room.age)
        [dropped] = await self._ledger.apply([ExpireUsage(before, EXPIRE_MAX)])
        for site, records in accepted(dropped).items():
            QUARANTINE_EXPIRED.inc(records)
            log.warning("usage expired in quarantine", site=site, dropped=records)
        size: int = await self._ledger.page(QuarantineSize())
        QUARANTINED.set(size)

    async def _apply(
        self, of_site: Mapping[str, tuple[Measured, ...]], batch: SignedBatch | None, subjects: Sequence[Subject]
    ) -> list[Outcome]:
        """Store and charge records in one transaction, under a span for each trace and placement that has a hold."""
        if not subjects:
            return []
        known = await self._known([each for records in of_site.values() for each in records])
        now_us = wire.microseconds(self._clock.now())
        commands = [
            RecordUsage(site, records, batch, known.moves, known.committed, self._room, now_us)
            for site, records in of_site.items()
        ]
        sites = [site for site, records in of_site.items() for _ in records]
        with ExitStack() as spans:
            payable = {subject: site for subject, site in zip(subjects, sites, strict=True) if subject[1] in known.held}
            charging = {each: spans.enter_context(_charging(*each, site)) for each, site in payable.items()}
            applied = await self._ledger.apply(commands)
            outcomes = [outcome for outcomes in applied for outcome in accepted(outcomes)]
            charges: Counter[Subject] = Counter()
            for subject, outcome in zip(subjects, outcomes, strict=True):
                charges[subject] += 0 if isinstance(outcome, Refusal) else outcome.lines
            for subject, told in charging.items():
                told.set_attribute("suanmesh.records", charges[subject])
        return outcomes

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


@contextmanager
def _charging(traceparent: str, placement: str, site: str) -> Iterator[Span]:
    """The spans of records of one placement; they belong to the trace of the work, or to that of the call."""
    parent = traceparent or current_traceparent()
    with (
        span(names.RATE_USAGE, parent=parent, placement=placement, site=site),
        span(names.CHARGE_ACCOUNT, placement=placement) as charging,
    ):
        yield charging
