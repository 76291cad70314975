"""Liveness: which sites are heard, judged from how long the lease of each has been gone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from suanmesh_kernel import permission


class Liveness(Enum):
    """Whether a site's agent is heard of."""

    ALIVE = "ALIVE"
    SUSPECT = "SUSPECT"
    LOST = "LOST"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a site without a lease is waited for.

    When `mass_share` of the sites and at least two lapse together, the cause is likely ours (a partition, a restart),
    so they stay SUSPECT until `mass_lost_after_s`: bounded, but without declaring half a mesh dead at once.
    """

    suspect_after_s: float
    lost_after_s: float
    mass_lost_after_s: float
    mass_share: float

    @property
    def run_for_s(self) -> float:
        """How long a site may run tasks after the report that was acknowledged last."""
        return permission.run_for_s(self.lost_after_s)


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """What is known of one site: what its document says, and how long ago its lease lapsed; None while it stands."""

    recorded: Liveness
    lapsed_s: float | None


def is_mass(lapsed: int, waited_for: int, bounds: Bounds) -> bool:
    """Whether so many of those waited for have lapsed together that the cause is likely ours.

    A site already recorded LOST no longer counts as lapsing with the others, and only a new lease brings it back.
    """
    return lapsed >= 2 and lapsed >= bounds.mass_share * waited_for


def judged(status: LeaseStatus, bounds: Bounds, *, mass: bool) -> Liveness:
    """What a site's liveness is now."""
    if status.lapsed_s is None:
        return Liveness.ALIVE
    lost_after_s = bounds.mass_lost_after_s if mass else bounds.lost_after_s
    if status.recorded is Liveness.LOST or status.lapsed_s >= lost_after_s:
        return Liveness.LOST
    if status.recorded is Liveness.ALIVE and status.lapsed_s < bounds.suspect_after_s:
        return Liveness.ALIVE
    return Liveness.SUSPECT


def with_certificate(liveness: Liveness, *, faulty: bool) -> Liveness:
    """The liveness of a site by its leases, once its certificate is looked at: a faulty one makes it SUSPECT."""
    return Liveness.SUSPECT if faulty and liveness is Liveness.ALIVE else liveness


def run_for_ms(recorded: Liveness, bounds: Bounds, *, leased: bool) -> int:
    """The permission an acknowledgement carries: none where the lease may be gone, or LOST has not been taken back yet.

    Until it is taken back, what ran there may still be placed elsewhere at any moment.
    """
    return int(bounds.run_for_s * 1000) if leased and recorded is not Liveness.LOST else 0
