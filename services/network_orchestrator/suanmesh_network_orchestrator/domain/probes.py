"""Measured round-trip times: soft state that ages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

RTT_US_MAX = 60 * 10**6


@dataclass(frozen=True, slots=True)
class Probe:
    """What one end measured towards another, and when."""

    source: str
    target: str
    rtt_us: int
    time: datetime


class Probes:
    """The latest probe between each two ends that a link joins; one that is too old is as good as none."""

    def __init__(self, lifetime: timedelta) -> None:
        self._lifetime = lifetime
        self._latest: dict[tuple[str, str], Probe] = {}

    def take(self, probes: Iterable[Probe], joined: frozenset[tuple[str, str]]) -> int:
        """Keep those between ends that are `joined` and answer how many they were."""
        matched = [probe for probe in probes if (probe.source, probe.target) in joined]
        for probe in matched:
            self._latest[probe.source, probe.target] = probe
        for ends in self._latest.keys() - joined:
            del self._latest[ends]
        return len(matched)

    def at(self, source: str, target: str, now: datetime) -> Probe | None:
        """The probe between two ends that still counts."""
        probe = self._latest.get((source, target))
        return probe if probe is not None and now - probe.time <= self._lifetime else None

    def rtt_us(self, now: datetime) -> dict[tuple[str, str], int]:
        """All round-trip times that still count."""
        return {ends: p.rtt_us for ends, p in self._latest.items() if now - p.time <= self._lifetime}
