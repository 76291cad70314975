"""What is wrong with a node, in words, as its processes answer when they are asked for their metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from suanmesh_kernel.texts import Text
from suanmesh_local.scrapes import Scrape
from suanmesh_telemetry import names
from suanmesh_telemetry.thresholds import CERTIFICATE_LIFE_MIN, DISK_BYTES_MIN, WATCH_LAG_S_MAX


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong."""

    where: str
    """The process that says so, `sites/…`, or `etcd`."""
    what: Text


def troubles(now: Sequence[Scrape]) -> list[Trouble]:
    """All that the processes say is wrong, what stops writes first."""
    return [*_of_etcd(now), *(each for scrape in now for each in (*_of_process(scrape), *_of_sites(scrape)))]


def _of_etcd(now: Sequence[Scrape]) -> Iterator[Trouble]:
    led = [value for _, value in _samples(now, names.ETCD_LED)]
    if led and not max(led):
        yield Trouble("etcd", Text("no majority of its members runs: nothing is written", "成员不足多数：无法写入"))
    members: dict[str, float] = {}
    for labels, up in _samples(now, names.ETCD_MEMBER_UP):
        members[labels["member"]] = max(up, members.get(labels["member"], 0.0))
    for member, up in sorted(members.items()):
        if not up:
            yield Trouble("etcd", Text(f"{member} does not answer", f"{member} 无应答"))


def _of_process(scrape: Scrape) -> Iterator[Trouble]:
    name = scrape.target.process
    for labels, serves in scrape.samples.get(names.COMPONENT_SERVING, ()):
        if not serves:
            component = labels["component"]
            text = Text(f"{component} has a fault: its log has the reason", f"{component} 有故障：原因见其日志")
            yield Trouble(name, text)
    if skew_s := round(scrape.sum(names.CLOCK_SKEW)):
        yield Trouble(name, _clock(skew_s, Text("the gateway's", "网关")))
    if (lag_s := scrape.sum(names.WATCH_LAG)) > WATCH_LAG_S_MAX:
        yield Trouble(name, Text(f"is told of changes {lag_s:.0f} s late", f"得知变化晚 {lag_s:.0f} 秒"))
    if scrape.has(names.DISK_FREE) and (free := scrape.sum(names.DISK_FREE)) < DISK_BYTES_MIN:
        left = f"{free / 1e9:.2f} GB"
        yield Trouble(name, Text(f"{left} of room are left on its disk", f"其磁盘仅剩 {left}"))
    for labels, left_s in scrape.samples.get(names.CERTIFICATE_EXPIRY, ()):
        if left_s < CERTIFICATE_LIFE_MIN * scrape.sum(names.CERTIFICATE_LIFETIME, kind=labels["kind"]):
            yield Trouble(name, _certificate(labels["kind"], left_s))


def _of_sites(scrape: Scrape) -> Iterator[Trouble]:
    for labels, ahead_s in scrape.samples.get(names.SITE_CLOCK_AHEAD, ()):
        if ahead_s:
            yield Trouble(f"sites/{labels['site']}", _clock(round(ahead_s), Text("the registry's", " registry ")))


def _clock(ahead_s: int, whose: Text) -> Text:
    seconds, ahead = abs(ahead_s), ahead_s > 0
    return Text(
        f"its clock is {seconds} s {'ahead of' if ahead else 'behind'} {whose.en}",
        f"其时钟比{whose.zh}{'快' if ahead else '慢'} {seconds} 秒",
    )


def _certificate(kind: str, left_s: float) -> Text:
    hours = f"{abs(left_s) / 3600:.1f}"
    if left_s <= 0:
        return Text(f"its {kind} certificate expired {hours} h ago", f"其 {kind} 证书已过期 {hours} 小时")
    return Text(
        f"its {kind} certificate was not renewed, and is good for {hours} h", f"其 {kind} 证书未更新，仅剩 {hours} 小时"
    )


def _samples(now: Sequence[Scrape], name: str) -> Iterator[tuple[Mapping[str, str], float]]:
    for scrape in now:
        yield from scrape.samples.get(name, ())
