"""What an agent says of its pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanmesh.type.v1 import capacity_pb2
from suanmesh_agent.inventory import descriptor, take_stock
from suanmesh_agent.settings import AgentSettings
from suanmesh_kernel.clock import HandClock


@pytest.mark.parametrize("walled", [True, False])
def test_a_pool_says_whether_tasks_are_walled_off(tmp_path: Path, walled: bool) -> None:
    """Whoever must not run beside strangers learns it before the job, and from others than the site's log."""
    settings = AgentSettings(site="a", data_dir=tmp_path)
    said = descriptor(settings, take_stock(settings, HandClock().now(), walled=walled), 1)
    (word,) = (each for each in said.capabilities if each.quantity == "tasks_walled_off")
    assert (word.value, word.origin) == (int(walled), capacity_pb2.ORIGIN_PROBED)
