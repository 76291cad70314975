"""What `suan top` shows, out of two looks at a node: who runs and leads, what waits, which sites are heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from suanmesh_local.scrapes import Scrape
from suanmesh_local.troubles import Trouble, troubles
from suanmesh_telemetry import names

FAILURES = frozenset(("UNKNOWN", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"))
CALLS = f"{names.SERVER_DURATION}_count"
CPU = "process_cpu_seconds_total"


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One process. Rates are a second, between the two looks."""

    name: str
    area: str
    state: str
    """`ready`, `not ready`, `no answer`, or `refused` where its metrics are not for who asks."""
    leads: bool
    calls_per_s: float
    failed_per_s: float
    cpu_cores: float
    memory_bytes: int
    watch_lag_s: float
    certificate_s: float
    """Time left of the certificate that expires first."""


@dataclass(frozen=True, slots=True)
class SiteRow:
    """One site, as the registry's leader knows it."""

    name: str
    heard: bool
    cpu_cores: float
    cpu_free_cores: float
    memory_bytes: int
    memory_free_bytes: int


@dataclass(frozen=True, slots=True)
class Top:
    """A node at a glance."""

    node: str
    processes: Sequence[ProcessRow]
    queue: Sequence[tuple[str, int]]
    """Reason and how many jobs wait for it, the most first."""
    oldest_wait_s: float
    jobs: Sequence[tuple[str, int]]
    """State and how many jobs are in it."""
    sites: Sequence[SiteRow]
    transferred_bytes_per_s: float
    without_leader: Sequence[str]
    """Areas of which every process says that it does not lead."""
    unbalanced: Sequence[str]
    """Currencies in which the ledger does not sum up to nothing."""
    troubles: Sequence[Trouble] = ()
    """What else the processes say is wrong."""
    elsewhere: Sequence[str] = ()
    """Other machines that run services of the node, which were not asked."""

    @property
    def is_well(self) -> bool:
        """Whether nothing of it is a reason to look closer."""
        serving = all(row.state in ("ready", "refused") for row in self.processes)
        wrong = self.without_leader or self.unbalanced or self.troubles
        return serving and all(site.heard for site in self.sites) and not wrong

    def data(self) -> dict[str, Any]:
        """The same as JSON has it."""
        told = asdict(self)
        told["troubles"] = [{"where": each.where, "what": each.what.en} for each in self.troubles]
        told["queue"] = [{"reason": reason, "jobs": jobs} for reason, jobs in self.queue]
        told["jobs"] = [{"state": state, "jobs": jobs} for state, jobs in self.jobs]
        return told


def seen(before: Sequence[Scrape], now: Sequence[Scrape], elapsed_s: float, elsewhere: Sequence[str] = ()) -> Top:
    """What the second of two looks shows, with rates since the first.

    Where services run `elsewhere` too, who leads may be there: then no area is said to have no leader.
    """
    earlier = {each.target.address: each for each in before}
    queue = {labels["reason"]: int(value) for labels, value in _all(now, names.QUEUE_JOBS) if value}
    jobs = {labels["state"]: int(value) for labels, value in _all(now, names.JOBS) if value}
    return Top(
        node=now[0].target.node if now else "",
        processes=[_process(earlier.get(each.target.address), each, elapsed_s) for each in now],
        queue=sorted(queue.items(), key=lambda each: (-each[1], each[0])),
        oldest_wait_s=max((value for _, value in _all(now, names.QUEUE_OLDEST)), default=0.0),
        jobs=sorted(jobs.items()),
        sites=_sites(now),
        transferred_bytes_per_s=_rate(sum(_grown(earlier, each, names.TRANSFERRED) for each in now), elapsed_s),
        without_leader=[] if elsewhere else _without_leader(now),
        unbalanced=sorted({labels["currency"] for labels, value in _all(now, names.IMBALANCE) if value}),
        troubles=troubles(now),
        elsewhere=elsewhere,
    )


def _process(before: Scrape | None, now: Scrape, elapsed_s: float) -> ProcessRow:
    state = "ready" if now.ready else "not ready"
    state = "no answer" if not now.answers else "refused" if now.refused else state
    known = {} if before is None else {now.target.address: before}
    failed = sum(_grown(known, now, CALLS, rpc_response_status_code=code) for code in FAILURES)
    left = [value for _, value in now.samples.get(names.CERTIFICATE_EXPIRY, ())]
    return ProcessRow(
        name=now.target.process,
        area=now.target.area,
        state=state,
        leads=now.sum(names.LEADING) > 0,
        calls_per_s=_rate(_grown(known, now, CALLS), elapsed_s),
        failed_per_s=_rate(failed, elapsed_s),
        cpu_cores=_rate(_grown(known, now, CPU), elapsed_s),
        memory_bytes=int(now.sum("process_resident_memory_bytes")),
        watch_lag_s=now.sum(names.WATCH_LAG),
        certificate_s=min(left, default=0.0),
    )


def _sites(now: Sequence[Scrape]) -> list[SiteRow]:
    rows = []
    for scrape in now:
        for labels, up in scrape.samples.get(names.SITE_UP, ()):
            site = labels["site"]
            rows.append(
                SiteRow(
                    name=site,
                    heard=up > 0,
                    cpu_cores=scrape.sum(names.SITE_CPU, site=site),
                    cpu_free_cores=scrape.sum(names.SITE_CPU_FREE, site=site),
                    memory_bytes=int(scrape.sum(names.SITE_MEMORY, site=site)),
                    memory_free_bytes=int(scrape.sum(names.SITE_MEMORY_FREE, site=site)),
                )
            )
    return sorted(rows, key=lambda row: row.name)


def _without_leader(now: Sequence[Scrape]) -> list[str]:
    led = {scrape.target.area for scrape in now if scrape.has(names.LEADING)}
    return sorted(led - {scrape.target.area for scrape in now if scrape.sum(names.LEADING) > 0})


def _all(now: Sequence[Scrape], name: str) -> list[tuple[Any, float]]:
    return [sample for scrape in now for sample in scrape.samples.get(name, ())]


def _grown(before: dict[str, Scrape], now: Scrape, name: str, **labels: str) -> float:
    """By how much a counter has grown; one that is less than before began anew with its process."""
    earlier = before.get(now.target.address)
    if earlier is None or not earlier.answers or not now.answers:
        return 0.0
    was, is_ = earlier.sum(name, **labels), now.sum(name, **labels)
    return is_ - was if is_ >= was else is_


def _rate(grown: float, elapsed_s: float) -> float:
    return round(grown / elapsed_s, 3) if elapsed_s > 0 else 0.0
