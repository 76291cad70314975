"""The site's meter: usage written down durably, numbered without gaps, and sent in signed batches until it is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Protocol

import structlog

from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.type.v1 import money_pb2, signed_pb2
from suanmesh_agent import recovery
from suanmesh_agent.domain.metering import Allotment, Amounts, HeldBack, MeterMark, amounts, set_back
from suanmesh_agent.domain.tasks import TaskLook
from suanmesh_agent.journal import Journal
from suanmesh_agent.ports import AccountingPort
from suanmesh_agent.recovery import readings_of
from suanmesh_chassis import FailureBackoff
from suanmesh_chassis.waiting import first_of
from suanmesh_kernel.clock import Clock, Rng
from suanmesh_kernel.merkle import leaf_hashes, root_hash
from suanmesh_kernel.refusals import InvalidArgument, Refusal
from suanmesh_sdk.values import timestamp
from suanmesh_telemetry import current_traceparent, names, span

log = structlog.get_logger()

BATCH_RECORDS = 500
RETRY_S = 1.0
GATHER_S = 3.0
"""How long usage of tasks that go on waits for that of others, seconds: it is signed, sent and stored by the batch."""
APART_S = 0.2
"""Between two batches, where one follows the other."""
_PAYLOAD_TYPE = usage_pb2.UsageBatch.DESCRIPTOR.full_name
_PASSING = frozenset(("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "INTERNAL"))
"""Codes of answers that leave it open whether the record was taken."""
_FULL = "RESOURCE_EXHAUSTED"
"""Code of an answer that says that the record was not taken for want of room, and may be later."""
_LEFT = _PASSING | {_FULL}
_INVALID = "FIELD_INVALID"
"""Reason of an answer to a call that one record of it makes no call of the contract."""
_CONFLICT = "USAGE_CONFLICT"
"""Reason of an answer that says that the mesh has another record of that number: this journal was set back."""

Looks = Sequence[tuple[int, TaskLook]]
"""Tasks of one placement by their index, and how they stand."""
Row = tuple[int, bytes, str]
"""A record on its way: its sequence, its bytes, the trace it belongs to."""


class Signs(Protocol):
    """What the meter needs of a signer."""

    def sign(self, payload_type: str, payload: bytes) -> signed_pb2.Signed:
        """Vouch for `payload`."""


class Meter:
    """Writes usage records and sends them."""

    def __init__(
        self, site: str, journal: Journal, accounting: AccountingPort, signer: Signs, clock: Clock, rng: Rng
    ) -> None:
        self._site = site
        self._journal = journal
        self._accounting = accounting
        self._signer = signer
        self._clock = clock
        self._wake = asyncio.Event()
        """Something is written down that is to be sent at once."""
        self._more = asyncio.Event()
        """Something is written down."""
        self._held_back = HeldBack()
        self._rounds = FailureBackoff("send usage", clock)
        self._groups = FailureBackoff(
            "send usage group", clock, pause_first_s=0.0, pause_max_s=0.0
        )  # its records are parked
        self._records = FailureBackoff("send usage record", clock)
        with journal.together():
            if journal.fact("epoch") is None:
                journal.remember("epoch", rng(8).hex())
        self._epoch = str(journal.fact("epoch"))
        self._rng = rng
        self._compared, self._conflict = False, False
        self._known = 0

    async def record_tasks(self, placement: str, looks: Looks, held: Allotment, *, traceparent: str) -> None:
        """Write down what tasks have used since the last time; the last record of one that is over is final.

        A second final record is never written, whatever is called how often.
        """
        await self._journal.commit(partial(self.write_tasks, placement, looks, held, traceparent))
        self.written(looks)

    def write_tasks(self, placement: str, looks: Looks, held: Allotment, traceparent: str) -> None:
        """`record_tasks` as a part of a step of the journal; call `written` once that is on disk."""
        for task, look in looks:
            self._record_task(placement, task, look, held, traceparent)

    def written(self, looks: Looks) -> None:
        """There is something to send: of tasks that are over at once."""
        (self._wake if any(look.over for _, look in looks) else self._more).set()

    def _record_task(self, placement: str, task: int, look: TaskLook, held: Allotment, traceparent: str) -> None:
        if look.start_time is None:
            return
        mark = self._journal.meter(placement, task)
        if mark and mark.final:
            return
        start_ns = _ns(look.start_time)
        now = amounts(look.usage, held)
        before = mark or MeterMark(Amounts(), start_ns, False)
        used = now.since(before.amounts)
        if not look.over and used == Amounts():
            return
        end_ns = max(before.end_ns, start_ns + look.usage.elapsed_us * 1000)
        record = usage_pb2.UsageRecord(placement=placement, task=task, readings=readings_of(used), final=look.over)
        self._write(record, (before.end_ns, end_ns), traceparent, (placement, task), MeterMark(now, end_ns, look.over))

    def write_transfer(
        self, placement: str, transfer: str, moved_bytes: int, times_ns: tuple[int, int], *, traceparent: str
    ) -> None:
        """Write down what a transfer moved, and that it has ended; call `send_at_once` once that is on disk."""
        reading = usage_pb2.MeterReading(meter=money_pb2.METER_TRANSFER_BYTES, quantity=moved_bytes)
        record = usage_pb2.UsageRecord(placement=placement, transfer=transfer, readings=[reading], final=True)
        self._write(record, times_ns, traceparent, (transfer, 0), MeterMark(Amounts(), times_ns[1], True))

    def send_at_once(self) -> None:
        """Something is written down that somebody waits for."""
        self._wake.set()

    async def run(self) -> None:
        """Send what is written down, for good; what was not acknowledged is sent again."""
        while True:
            await self._rounds.until_done(self._site, self._send_round)

    async def _send_round(self) -> None:
        """Send what is there, then wait until more is, or for a while where something stayed."""
        begun = self._clock.monotonic()
        self._wake.clear()
        self._more.clear()
        if not self._compared and not await self._could_compare():
            return
        after = self._held_back.passed_over(self._clock.monotonic())
        while batch := self._journal.unsent_usage(BATCH_RECORDS, after):
            # Numbers the mesh has already first: they tell whether this journal was set back before any is used anew.
            batch = [row for row in batch if row[0] <= self._known] or batch
            if not await self._send(batch):
                break
            after = batch[-1][0]
        if self._journal.unsent_usage(1):
            await self._wait_to_send_at_once(RETRY_S)
        else:
            await first_of(self._wake, self._more)
            await self._wait_to_send_at_once(GATHER_S)
            await asyncio.sleep(max(0.0, begun + APART_S - self._clock.monotonic()))

    async def _wait_to_send_at_once(self, seconds_max: float) -> None:
        """A hold waits for the final records of its placement, and nobody for any other."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                await self._wake.wait()

    async def _could_compare(self) -> bool:
        try:
            await self._compare()
        except Refusal as refusal:
            log.info("usage put off", reason=refusal.reason, message=refusal.message)
            await asyncio.sleep(RETRY_S)
        return self._compared

    def _write(
        self,
        record: usage_pb2.UsageRecord,
        times_ns: tuple[int, int],
        traceparent: str,
        meter: tuple[str, int],
        mark: MeterMark,
    ) -> None:
        with self._journal.together():
            held = self._journal.meter(*meter)
            if held and held.final:
                return
            self._keep(record, times_ns, traceparent)
            self._journal.set_meter(*meter, mark)

    def _keep(self, record: usage_pb2.UsageRecord, times_ns: tuple[int, int], traceparent: str) -> None:
        """Number and keep a record, within a step of the journal."""
        record.site, record.epoch, record.sequence = self._site, self._epoch, self._journal.next_sequence()
        record.start_time.FromNanoseconds(times_ns[0])
        record.end_time.FromNanoseconds(times_ns[1])
        self._journal.add_usage(record.sequence, record.SerializeToString(deterministic=True), traceparent)

    async def recall(self, work: str) -> None:
        """Learn from the mesh what was metered of a placement this site has no memory of. Raises Refusal."""
        known = await recovery.charged(self._accounting, self._epoch, [work])
        with self._journal.together():
            for key, mark in known.items():
                if self._journal.meter(*key) is None:
                    self._journal.set_meter(*key, mark)

    async def _compare(self) -> None:
        """Before the first record is sent, and where one was taken for another: begin a new epoch if set back."""
        state = await self._accounting.metering_state(self._epoch, [])
        known, here = state.last_sequence, self._journal.sequence
        self._known = known
        if self._conflict or set_back(self._epoch, here, last_epoch=state.last_epoch, last_sequence=known):
            log.warning("meter was set back", sequence=here, message=f"{self._epoch} has {known} records in the mesh")
            before, self._epoch = self._epoch, self._rng(8).hex()
            try:
                await recovery.square(self._journal, self._accounting, self._epoch, self._keep)
            except BaseException:
                self._epoch = before
                raise
            self._held_back, self._known = HeldBack(), 0
        self._conflict, self._compared = False, True

    async def _send(self, batch: list[Row]) -> bool:
        """Send in one call, and where that meets a defect one by one; whether none was put off."""
        put_off = False

        async def send(rows: list[Row]) -> None:
            nonlocal put_off
            try:
                await self._send_rows(rows)
            except Refusal as refusal:
                if refusal.reason == _INVALID and len(rows) > 1:
                    await send_singly()
                    return
                log.info("usage put off", reason=refusal.reason, message=refusal.message)
                put_off = True

        async def send_singly(_: Exception | None = None) -> None:
            for row in rows:
                await self._records.run(str(row[0]), partial(send, [row]))

        rows = [row for row in batch if not self._records.parked_s(str(row[0]))]
        if len(rows) > 1:
            await self._groups.run(self._site, partial(send, rows), send_singly)
        else:
            await send_singly()
        return not put_off

    async def _send_rows(self, rows: list[Row]) -> None:
        """Every job's trace shows its own usage, whatever goes with it in one call."""
        request = pb.RecordUsageRequest(records=[row[1] for row in rows])
        request.batch.CopyFrom(self._signed(request.records))
        with ExitStack() as stack:
            for traceparent, group in groupby(rows, key=lambda row: row[2]):
                count = len(list(group))
                stack.enter_context(span(names.METER_USAGE, parent=traceparent, records=count, site=self._site))
                request.traceparents.extend([current_traceparent()] * count)
            refusals = await self._taken(request)
        if any(no is not None and no.reason == _CONFLICT for no in refusals):
            self._conflict, self._compared = True, False
        taken = [row[0] for row, no in zip(rows, refusals, strict=True) if no is None or not _stays(no)]
        await self._journal.commit(partial(self._journal.acknowledge_usage, taken))
        full = [row[0] for row, no in zip(rows, refusals, strict=True) if no is not None and no.code == _FULL]
        if full:
            self._held_back.hold(full[-1], self._clock.monotonic())
            log.warning("usage held back", sequence=full[-1], reason=_FULL)
        for row, no in zip(rows, refusals, strict=True):
            if no is not None and no.code != _FULL:
                log.warning("usage refused", sequence=row[0], reason=no.reason, message=no.message)
        passing = next((no for no in refusals if no is not None and no.code != _FULL and _stays(no)), None)
        if passing:
            raise passing

    async def _taken(self, request: pb.RecordUsageRequest) -> list[Refusal | None]:
        """Why each record was refused; a call of one that the contract does not know is refused as that record."""
        try:
            return await self._accounting.record_usage(request)
        except InvalidArgument as refusal:
            if refusal.reason != _INVALID or len(request.records) > 1:
                raise
            return [refusal]

    def _signed(self, records: Sequence[bytes]) -> signed_pb2.Signed:
        """Vouch for records, in their order."""
        root = root_hash(leaf_hashes(records))
        batch = usage_pb2.UsageBatch(
            site=self._site, tree_size=len(records), root_hash=root, sign_time=timestamp(self._clock.now())
        )
        return self._signer.sign(_PAYLOAD_TYPE, batch.SerializeToString(deterministic=True))


def _stays(refusal: Refusal) -> bool:
    """Whether a record that was refused is still to be sent, now or under another number."""
    return refusal.code in _LEFT or refusal.reason == _CONFLICT


def _ns(moment: datetime) -> int:
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (passed.days * 86_400 + passed.seconds) * 1_000_000_000 + passed.microseconds * 1000
