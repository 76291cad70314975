"""Holds follow their placements: bound at the commit, given back at the end, dropped when their lease evaporates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial

import structlog

from suanmesh_accounting.domain.commands import ForgetAnswers, MoveHold
from suanmesh_accounting.domain.ledger import Finals, Hold, HoldState, next_state
from suanmesh_accounting.domain.queries import FinalUsage, StandingHolds
from suanmesh_accounting.metering import Metering
from suanmesh_accounting.ports import HoldTokens, Ledger, Mesh, accepted
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
TOGETHER_MAX = 100
"""Holds settled together: a placement that waits for its own does not wait for a thousand others."""
YOUNG = timedelta(seconds=15)
"""A hold without a token may be about to get one for so long; the scheduler's round lease is shorter."""


class HoldReconciler:
    """Brings every standing hold to where its placement says."""

    def __init__(
        self,
        ledger: Ledger,
        mesh: Mesh,
        tokens: HoldTokens,
        clock: Clock,
        settings: AccountingSettings,
        backoff: FailureBackoff,
        metering: Metering,
    ) -> None:
        self._ledger = ledger
        self._mesh = mesh
        self._tokens = tokens
        self._clock = clock
        self._settings = settings
        self._backoff = backoff
        self._metering = metering
        self._looked_at = 0

    async def run(self) -> None:
        """Settle all standing holds, at once those whose final usage has come, and drop what has had its time."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_finals())
            tasks.create_task(self._keep_house())
            while True:
                await self._put_off_where_away(self._look)
                await asyncio.sleep(self._settings.resync_s)

    async def _follow_finals(self) -> None:
        while True:
            await self._metering.finals.some()
            placements = frozenset(self._metering.finals.take_many(TOGETHER_MAX))
            await self._put_off_where_away(partial(self._look_at, StandingHolds(placements)))

    async def _keep_house(self) -> None:
        """Each pass takes the pen of the ledger, mostly for nothing: so it is rarer than a look at the holds."""
        while True:
            await self._backoff.run("housekeeping", self._drop_what_is_old)
            await asyncio.sleep(self._settings.housekeeping_s)

    async def _put_off_where_away(self, look: Callable[[], Awaitable[None]]) -> None:
        try:
            await look()
        except (Unavailable, Aborted) as refusal:  # such as a full disk, which ending the process would not empty
            log.warning("holds put off", reason=refusal.reason, message=refusal.message)

    async def _look(self) -> None:
        await self._look_at(StandingHolds())
        await self._backoff.run("quarantine", self._look_into_quarantine)

    async def _look_at(self, which: StandingHolds) -> None:
        holds = [hold for hold in await self._ledger.page(which) if not self._backoff.parked_s(hold.name)]
        for start in range(0, len(holds), TOGETHER_MAX):
            await self._settle_each(holds[start : start + TOGETHER_MAX])

    async def _look_into_quarantine(self) -> None:
        try:
            self._looked_at = await self._metering.look_again(self._looked_at)
        except (Unavailable, Aborted) as refusal:
            log.info("quarantine put off", reason=refusal.reason)

    async def _drop_what_is_old(self) -> None:
        try:
            await self.forget()
            await self._metering.expire()
        except (Unavailable, Aborted) as refusal:
            log.info("housekeeping put off", reason=refusal.reason)

    async def _settle_each(self, holds: Sequence[Hold]) -> None:
        """Settle some together; a defect is looked for by halves, so that the hold that has it stops no other."""
        if len(holds) == 1:
            await self._backoff.run(holds[0].name, partial(self._settle_or_put_off, holds))
        elif holds and not await self._backoff.run(
            f"holds from {holds[0].name}", partial(self._settle_or_put_off, holds)
        ):
            await self._settle_each(holds[: len(holds) // 2])
            await self._settle_each(holds[len(holds) // 2 :])

    async def _settle_or_put_off(self, holds: Sequence[Hold]) -> None:
        try:
            await self.settle(holds)
        except (Unavailable, Aborted) as refusal:
            log.info("holds put off", placement=holds[0].placement, reason=refusal.reason)

    async def settle(self, holds: Sequence[Hold]) -> None:
        """Bring holds to where their placements say.

        Their tokens are dropped before the holds are RELEASED, because one that is RELEASED is not looked at again.
        """
        moves = await self._moves(holds)
        released = [(hold.placement, hold.position) for hold, state in moves if state is HoldState.RELEASED]
        if released:
            await self._tokens.drop(released)
        if moves:
            for moved in await self._ledger.apply([MoveHold(hold.name, state, hold.state) for hold, state in moves]):
                accepted(moved)

    async def _moves(self, holds: Sequence[Hold]) -> list[tuple[Hold, HoldState]]:
        """Which holds are to go to another state."""
        standing = await self._mesh.standing({hold.placement for hold in holds})
        ended = frozenset(name for name, status in standing.items() if status.terminal)
        finals = await self._ledger.page(FinalUsage(ended)) if ended else {}
        now = self._clock.now()
        uncommitted = [
            (hold.placement, hold.position)
            for hold in holds
            if hold.placement not in standing and now - moment(hold.create_us) > YOUNG
        ]
        tokens = await self._tokens.standing(uncommitted) if uncommitted else frozenset()
        orphaned = set(uncommitted) - tokens
        settled = [
            next_state(
                hold.state,
                standing.get(hold.placement),
                finals.get(hold.placement, Finals()),
                now=now,
                late=timedelta(seconds=self._settings.late_usage_s),
                orphaned=(hold.placement, hold.position) in orphaned,
            )
            for hold in holds
        ]
        return [(hold, state) for hold, state in zip(holds, settled, strict=True) if state is not hold.state]

    async def forget(self) -> None:
        """Forget some of the answers to requests that nobody repeats any more."""
        before = microseconds(self._clock.now() - REQUEST_MEMORY)
        await self._ledger.apply([ForgetAnswers(before, FORGET_MAX)])
