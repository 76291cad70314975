"""What Prometheus is shown of sites."""

from __future__ import annotations

from datetime import timedelta

import pytest

from suanmesh_registry.readings import SiteReadings
from suanmesh_telemetry import names
from tests.service.registry.test_registry_service import Desk, active, desk, reported

__all__ = ["desk"]


async def test_a_site_is_shown_with_what_it_has_and_whether_it_is_heard(desk: Desk) -> None:
    """Who is on call sees a site that is lost, and one that is full, before its users ask."""
    await active(desk)
    shown = SiteReadings(desk.registry.mirrors, desk.registry.catalogue, desk.registry.presence.ahead_s)

    def read() -> dict[tuple[str, ...], float]:
        return {(each.metric, *each.labels): each.value for each in shown()}

    there = read()
    await desk.pass_time(60)
    await desk.pass_time(60)
    lost = read()

    assert there[names.SITE_UP, "a"] == 1
    assert (there[names.SITE_CPU, "a"], there[names.SITE_CPU_FREE, "a"]) == (2.0, 1.5)
    assert (there[names.SITES, "ALIVE"], there[names.SITES, "LOST"]) == (1, 0)
    assert (lost[names.SITE_UP, "a"], lost[names.SITE_CPU, "a"], lost[names.SITE_CPU_FREE, "a"]) == (0, 2.0, 0.0)
    assert (lost[names.SITES, "ALIVE"], lost[names.SITES, "LOST"]) == (0, 1)


@pytest.mark.parametrize(
    ("off_s", "code", "told_s"), [(300, "SITE_CLOCK_WRONG", 300), (-300, "SITE_CLOCK_WRONG", -300), (20, "", 0)]
)
async def test_a_site_whose_clock_is_wrong_is_told_with_the_seconds(
    desk: Desk, off_s: int, code: str, told_s: int
) -> None:
    """Its usage is billed at wrong hours, and nothing else shows it until a certificate is not valid there yet."""
    agent = await active(desk)
    shown = SiteReadings(desk.registry.mirrors, desk.registry.catalogue, desk.registry.presence.ahead_s)
    report = agent.report(2)
    report.pools[0].observe_time.FromDatetime(desk.clock.now() + timedelta(seconds=off_s))
    await reported(desk, agent, report)

    state = desk.registry.catalogue.state(report.pools[0].name)
    assert state is not None
    assert state.reason.code == code
    (ahead,) = [each.value for each in shown() if each.metric == names.SITE_CLOCK_AHEAD]
    assert ahead == pytest.approx(told_s, abs=1)
