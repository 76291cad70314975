"""What ways between sites could carry were nothing reserved on them."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush
from typing import NamedTuple


class Capacity(NamedTuple):
    """What a link carries from one end to the other."""

    source: str
    target: str
    bps: int


def widest_bps(links: Iterable[Capacity], source: str, target: str) -> int:
    """The most that any way from `source` to `target` could carry, bit/s; 0 where no links join them."""
    leaving: dict[str, list[Capacity]] = {}
    for link in links:
        leaving.setdefault(link.source, []).append(link)
    done: set[str] = set()
    heap = [(0, source)]
    while heap:
        narrow_bps, end = heappop(heap)
        if end == target:
            return -narrow_bps
        if end in done:
            continue
        done.add(end)
        for link in leaving.get(end, ()):
            width_bps = min(-narrow_bps, link.bps) if end != source else link.bps
            heappush(heap, (-width_bps, link.target))
    return 0
