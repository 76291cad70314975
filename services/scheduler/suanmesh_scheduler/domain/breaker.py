"""The circuit breaker of a site: after several runs in a row that it failed before they began, it is sent none.

After a while one is tried; if that fails too, the next wait is twice as long. A run that begins closes it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from suanmesh_kernel.reasons import NO_REASON, StateReason

FAULTS_MAX = 3
"""So many in a row open it."""
BACKOFF_S = 30
BACKOFF_S_MAX = 960
WINDOW_S = 1800
"""A fault is forgotten when none has followed it for so long."""
SITE_FAULTS = frozenset({
    "AGENT_DEFECT", "DISK_FAULT", "DISK_FULL", "RUNTIME_MISSING", "NOT_ACCEPTED", "STATE_LOST", "TASK_NOT_STARTED",
})  # fmt: skip
"""Codes of ends, before a task began, that are the site's doing; not the job's, and not that others were faster."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """What a site has made of the runs it was sent last."""

    faults: int = 0
    """How many it failed, before they began, since the last that began."""
    last: datetime | None = None
    reason: StateReason = NO_REASON

    def faulted(self, at: datetime, reason: StateReason) -> Circuit:
        """Another run came to nothing."""
        begins = self.last is None or at - self.last > timedelta(seconds=WINDOW_S)
        return Circuit(1 if begins else self.faults + 1, at, reason)

    def worked(self, began: datetime) -> Circuit:
        """A run began."""
        return Circuit() if self.last is not None and began > self.last else self

    @property
    def retry_time(self) -> datetime | None:
        """When the next run may be tried; None while nothing stands in the way."""
        if self.last is None or self.faults < FAULTS_MAX:
            return None
        return self.last + timedelta(seconds=min(BACKOFF_S_MAX, BACKOFF_S * 2 ** min(10, self.faults - FAULTS_MAX)))

    def bars(self, now: datetime, *, trying: bool) -> bool:
        """Whether no run is to be sent now: it waits, or one that was sent to try it has not begun yet."""
        return self.retry_time is not None and (now < self.retry_time or trying)


def is_fault(reason: StateReason, *, begun: bool) -> bool:
    """Whether an end with this reason is the site's own fault, as that of a transfer to it may be."""
    return not begun and reason.names_any(SITE_FAULTS)


SETBACK_S = 30
SETBACK_S_MAX = 480


def barred(setbacks: Collection[str], since: datetime, now: datetime) -> frozenset[str]:
    """Sites a job is not sent to again yet. `setbacks` names one as often as it did not take or lost the job; the last
    time was `since`. A site that has is tried after all others, later each time.
    """
    waits = {site: min(SETBACK_S_MAX, SETBACK_S * 2 ** (list(setbacks).count(site) - 1)) for site in set(setbacks)}
    return frozenset(site for site, wait_s in waits.items() if now < since + timedelta(seconds=wait_s))
