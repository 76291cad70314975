"""The site's permission to run, as the shims of tasks read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanmesh_agent.engines.process.permit import Permit
from suanmesh_agent.permission import RunPermission
from suanmesh_kernel.clock import SystemClock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The permission of an agent that was heard just now, for an hour."""
    clock = SystemClock()
    permission = RunPermission(tmp_path / "permission", clock)
    permission.renew(clock.monotonic(), 3600.0)
    permission.close()
    return permission.path


def test_a_node_goes_by_the_clock_that_it_shares_with_the_agents_host(file: Path) -> None:
    """The uptime of another host says nothing: a task of a site that is not heard would run beside its second."""
    assert -3601 < Permit(str(file)).over_s() < -3000
    boot, wall, moment = file.read_text().split()
    file.write_text(f"another-boot {wall} {int(moment) - 10**15}\n")
    assert -3601 < Permit(str(file)).over_s() < -3000
    file.write_text(f"another-boot {int(wall) - 7200 * 10**9} {moment}\n")
    assert Permit(str(file)).over_s() > 3000
    file.write_text(f"{boot} {int(moment) - 7200 * 10**9}\n")
    assert Permit(str(file)).over_s() > 3000


def test_a_permission_is_taken_up_by_the_next_agent(file: Path) -> None:
    """An agent that comes back within its permission must not stop what runs."""
    again = RunPermission(file, SystemClock())
    assert again.epoch is not None
    again.close()
