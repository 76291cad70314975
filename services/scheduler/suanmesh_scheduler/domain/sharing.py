"""Several routes to one place: what each may take where they run over the same link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from suanmesh_scheduler.domain.values import Blocked, PlannedTransfer


def shared(routes: Sequence[PlannedTransfer], least_bps: int) -> tuple[PlannedTransfer, ...] | Blocked:
    """The routes with rates that fit together: each has the least rate, the rest goes by what each could use.

    Of a link no more is known than what its widest path has left; together they stay within that. Blocked where a link
    cannot give every route the least rate.
    """
    rates = [route.rate_bps for route in routes]
    for link in sorted({link for route in routes for link in route.path.links}):
        over = [index for index, route in enumerate(routes) if link in route.path.links]
        has_bps = max(routes[index].path.available_bps for index in over)
        wanted = sum(routes[index].rate_bps for index in over)
        if wanted <= has_bps:
            continue
        floors = [min(least_bps, routes[index].rate_bps) for index in over]
        spare = has_bps - sum(floors)
        if spare < 0:
            return Blocked("bandwidth", link, has_bps // len(over))
        for index, floor in zip(over, floors, strict=True):
            extra = (routes[index].rate_bps - floor) * spare // (wanted - sum(floors))
            rates[index] = min(rates[index], floor + extra)
    return tuple(replace(route, rate_bps=rate) for route, rate in zip(routes, rates, strict=True))
