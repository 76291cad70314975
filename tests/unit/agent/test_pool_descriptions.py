"""What an agent says of its pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanmesh.type.v1 import capacity_pb2
from suanmesh_agent.domain.tasks import Capabilities
from suanmesh_agent.inventory import descriptor, take_stock
from suanmesh_agent.settings import AgentSettings
from suanmesh_chassis.settings import load
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_sdk.values import limits_from


@pytest.mark.parametrize("walled", [True, False])
def test_a_pool_says_whether_tasks_are_walled_off(tmp_path: Path, walled: bool) -> None:
    """Whoever must not run beside strangers learns it before the job, and from others than the site's log."""
    settings = AgentSettings(site="a", data_dir=tmp_path)
    said = descriptor(settings, take_stock(settings, HandClock().now(), Capabilities(walled=walled)), 1)
    (word,) = (each for each in said.capabilities if each.quantity == "tasks_walled_off")
    assert (word.value, word.origin) == (int(walled), capacity_pb2.ORIGIN_PROBED)


def test_a_pool_says_what_its_owner_refuses(tmp_path: Path) -> None:
    """A site that keeps its limits to itself is sent what it refuses, again and again."""
    environment = {"SITE": "a", "ALLOW_PARTIES": "acme, parties/beta", "HOURS": "mon-tue 18:00-8:00"}
    environment |= {"REFUSE_KINDS": "data,array", "PARTY_SHARE_MILLI": "250", "DATA_DIR": str(tmp_path)}
    settings = load(AgentSettings, "X_", {f"X_{name}": value for name, value in environment.items()})
    said = descriptor(settings, take_stock(settings, HandClock().now(), Capabilities(walled=True)), 1).limits
    assert limits_from(said) == settings.limits
    assert list(said.parties) == ["parties/acme", "parties/beta"]
    assert [(each.start_min, each.end_min) for each in said.hours] == [(1080, 1920), (2520, 3360)]
    assert (len(said.refused_kinds), said.party_share_milli) == (2, 250)
    plain = AgentSettings(site="a", data_dir=tmp_path)
    assert not descriptor(plain, take_stock(plain, HandClock().now(), Capabilities(walled=True)), 1).HasField("limits")


@pytest.mark.parametrize(
    ("name", "value"), [("HOURS", "always"), ("REFUSE_KINDS", "big"), ("PARTY_SHARE_MILLI", "1001")]
)
def test_limits_that_mean_nothing_stop_the_agent(name: str, value: str) -> None:
    """An agent that begins without the limit it was given takes what its owner refuses."""
    with pytest.raises(InvalidArgument):
        load(AgentSettings, "X_", {f"X_{name}": value})
