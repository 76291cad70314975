"""Holds follow their placements: bound at the commit, given back at the end, dropped when their lease evaporates."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import structlog

from suanmesh_accounting.domain.commands import ForgetAnswers, MoveHold
from suanmesh_accounting.domain.ledger import Finals, Hold, HoldState, next_state
from suanmesh_accounting.domain.queries import FinalUsage, StandingHolds
from suanmesh_accounting.metering import Metering
from suanmesh_accounting.ports import Ledger, Mesh, Tokens, accepted
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_accounting.wire import microseconds, moment
from suanmesh_chassis import FailureBackoff
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import Aborted, Unavailable

log = structlog.get_logger()

REQUEST_MEMORY_S = 24 * 3600
"""How long an answer is remembered at least: what was credited once must not be credited again the next morning."""
REQUEST_MEMORY = timedelta(seconds=REQUEST_MEMORY_S)
FORGET_MAX = 500
"""Answers forgotten in one pass; more of them wait for the next."""
YOUNG = timedelta(seconds=15)
"""A hold without a token may be about to get one for so long; the scheduler's round lease is shorter."""


class HoldReconciler:
    """Brings every standing hold to where its placement says."""

    def __init__(
        self,
        ledger: Ledger,
        mesh: Mesh,
        tokens: Tokens,
        clock: Clock,
        settings: AccountingSettings,
        backoff: FailureBackoff,
    ) -> None:
        self._ledger = ledger
        self._mesh = mesh
        self._tokens = tokens
        self._clock = clock
        self._settings = settings
        self._backoff = backoff
        self._wake = asyncio.Event()
        self._metering = Metering(ledger, mesh, clock, self.nudge, settings.room())
        self._looked_at = 0

    def nudge(self) -> None:
        """Look again soon: a placement changed, or a final record arrived."""
        self._wake.set()

    async def run(self) -> None:
        """Settle all standing holds and forget old answers, again and again."""
        while True:
            try:
                await self._look()
            except (Unavailable, Aborted) as refusal:  # such as a full disk, which ending the process would not empty
                log.warning("holds put off", reason=refusal.reason, message=refusal.message)
            try:
                async with asyncio.timeout(self._settings.resync_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    async def _look(self) -> None:
        for hold in await self._ledger.page(StandingHolds()):
            await self._backoff.run(hold.name, partial(self._settle_or_put_off, hold))
        await self.forget()
        await self._backoff.run("quarantine", self._look_into_quarantine)

    async def _look_into_quarantine(self) -> None:
        try:
            self._looked_at = await self._metering.look_again(self._looked_at)
            await self._metering.expire()
        except (Unavailable, Aborted) as refusal:
            log.info("quarantine put off", reason=refusal.reason)

    async def _settle_or_put_off(self, hold: Hold) -> None:
        try:
            await self.settle(hold)
        except (Unavailable, Aborted) as refusal:
            log.info("hold put off", placement=hold.placement, reason=refusal.reason)

    async def settle(self, hold: Hold) -> None:
        """Bring one hold to where its placement says.

        Its token is dropped before the hold is RELEASED, because one that is RELEASED is not looked at again.
        """
        standing = await self._mesh.standing(hold.placement)
        ended = standing is not None and standing.terminal
        finals = await self._ledger.page(FinalUsage(hold.placement)) if ended else Finals()
        now = self._clock.now()
        state = next_state(
            hold.state,
            standing,
            finals,
            now=now,
            late=timedelta(seconds=self._settings.late_usage_s),
            orphaned=standing is None
            and now - moment(hold.create_us) > YOUNG
            and not await self._tokens.stands(hold.placement, hold.position),
        )
        if state is HoldState.RELEASED:
            await self._tokens.drop(hold.placement, hold.position)
        if state is not hold.state:
            [moved] = await self._ledger.apply([MoveHold(hold.name, state)])
            accepted(moved)

    async def forget(self) -> None:
        """Forget some of the answers to requests that nobody repeats any more."""
        before = microseconds(self._clock.now() - REQUEST_MEMORY)
        await self._ledger.apply([ForgetAnswers(before, FORGET_MAX)])
