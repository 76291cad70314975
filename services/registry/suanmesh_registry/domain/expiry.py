"""When the liveness of which site is to be judged: as something changes about it, and as its time comes.

Whoever looked at all sites at every tick would do nothing else once there are ten thousand.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf

from suanmesh_registry.domain.liveness import Bounds, LeaseStatus, Liveness, is_mass, judged, with_certificate


@dataclass(frozen=True, slots=True)
class _Seen:
    recorded: Liveness
    lapsed_at: float | None
    good_until: float


class Expiry:
    """The sites with what is known of each, and a heap of the moments at which one must be judged anew.

    Moments are seconds on one monotonic clock.
    """

    def __init__(self, bounds: Bounds) -> None:
        """Begin with no site."""
        self._bounds = bounds
        self._sites: dict[str, _Seen] = {}
        self._lapsed: set[str] = set()
        """Of those that are not recorded LOST."""
        self._lost = 0
        self._mass = False
        self._changed: set[str] = set()
        self._moments: list[tuple[float, str]] = []
        self._next: dict[str, float] = {}

    def observe(
        self, name: str, recorded: Liveness, *, leased: bool, now: float, good_until: float = float("inf")
    ) -> None:
        """What is known of a site now: what its document says, whether its lease stands, and until when the certificate
        of its agent is good.
        """
        before = self._sites.get(name)
        lapsed_at = None if leased else now if before is None or before.lapsed_at is None else before.lapsed_at
        self.forget(name)
        self._sites[name] = _Seen(recorded, lapsed_at, good_until)
        self._changed.add(name)
        if recorded is Liveness.LOST:
            self._lost += 1
        elif not leased:
            self._lapsed.add(name)

    def forget(self, name: str) -> None:
        """The site is no more."""
        before = self._sites.pop(name, None)
        if before is not None and before.recorded is Liveness.LOST:
            self._lost -= 1
        self._lapsed.discard(name)

    def judge(self, now: float) -> dict[str, Liveness]:
        """The liveness of each site that was observed since, or whose moment has come; of others it is as it was."""
        mass = is_mass(len(self._lapsed), len(self._sites) - self._lost, self._bounds)
        if mass is not self._mass:
            self._mass = mass
            self._changed |= self._lapsed
        while self._moments and self._moments[0][0] <= now:
            at, name = heappop(self._moments)
            if self._next.get(name) == at:
                del self._next[name]
                self._changed.add(name)
        names, self._changed = sorted(self._changed & self._sites.keys()), set()
        return {name: self._judged(name, self._sites[name], now) for name in names}

    def _judged(self, name: str, seen: _Seen, now: float) -> Liveness:
        liveness, at = Liveness.ALIVE, inf
        if seen.lapsed_at is not None:
            liveness = judged(LeaseStatus(seen.recorded, now - seen.lapsed_at), self._bounds, mass=self._mass)
            lost_after_s = self._bounds.mass_lost_after_s if self._mass else self._bounds.lost_after_s
            at = seen.lapsed_at + (self._bounds.suspect_after_s if liveness is Liveness.ALIVE else lost_after_s)
        if liveness is Liveness.LOST:
            at = inf
        elif liveness is Liveness.ALIVE and now < seen.good_until:
            at = min(at, seen.good_until)
        self._look_at(name, at)
        return with_certificate(liveness, faulty=now >= seen.good_until)

    def _look_at(self, name: str, at: float) -> None:
        if at == inf:
            self._next.pop(name, None)
        elif self._next.get(name) != at:
            self._next[name] = at
            heappush(self._moments, (at, name))
