"""Who understands whom: a node and its sites are upgraded on different days, by different people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.protocols import KEPT, OWN, Spoken, common, require_common
from suanmesh_kernel.refusals import FailedPrecondition

VERSIONS = st.integers(1, 12)


def of(version: int) -> Spoken:
    """What a process of that version speaks."""
    return Spoken(version, max(1, version - KEPT))


@given(VERSIONS, VERSIONS)
def test_two_versions_apart_understand_each_other_and_no_more(one: int, other: int) -> None:
    """A site that skipped two upgrades works on; one that skipped more is told, rather than misunderstood."""
    both = common(of(one), of(other))
    assert both == common(of(other), of(one))
    assert both == (min(one, other) if abs(one - other) <= KEPT else 0)


@given(VERSIONS, VERSIONS)
def test_whoever_is_refused_is_told_which_side_to_upgrade(node: int, agent: int) -> None:
    """An operator who upgrades the wrong side has two that do not work."""
    if abs(node - agent) <= KEPT:
        assert require_common(of(node), of(agent)) == min(node, agent)
        return
    with pytest.raises(FailedPrecondition) as refused:
        require_common(of(node), of(agent))
    assert refused.value.reason == ("PROTOCOL_TOO_OLD" if agent < node else "PROTOCOL_TOO_NEW")
    assert refused.value.facts["needed"] == str(node - KEPT if agent < node else node)


def test_a_process_of_before_the_first_hello_is_understood() -> None:
    """Agents that were installed before this version say nothing of what they speak."""
    assert common(OWN, Spoken()) == 1
