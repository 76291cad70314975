"""What `suan node check` says of what a node's services cannot do without."""

from __future__ import annotations

import pytest

from suanmesh_etcd3.values import Status
from suanmesh_local.relied_on import database_finding, disk_finding, etcd_findings


@pytest.mark.parametrize(
    ("free_bytes", "state"),
    [
        (1, "missing"),
        (249_999_999, "missing"),
        (250_000_000, "warning"),
        (1_999_999_999, "warning"),
        (2_000_000_000, "ok"),
    ],
)
def test_room_is_told_before_there_is_none(free_bytes: int, state: str) -> None:
    """etcd ends where it cannot write, and all of the node with it."""
    assert disk_finding(free_bytes).state == state


def test_members_of_etcd_are_told_one_by_one() -> None:
    """With one of three away all goes on, and with the next nothing does: somebody must know before."""
    leads, follows, lost = (Status(1, leader, "3.4", 1, 1) for leader in (1, 2, 0))

    found = list(etcd_findings({"etcd-0 at h:1": leads, "etcd-1 at h:2": follows, "etcd-2 at h:3": "UNAVAILABLE"}))
    alone = list(etcd_findings({"etcd-0 at h:1": lost}))

    assert [each.state for each in found] == ["ok", "ok", "warning"]
    assert found[0].detail == "etcd-0 at h:1 answers, and leads"
    assert found[2].detail.startswith("etcd-2 at h:3 does not answer (UNAVAILABLE): ")
    assert (alone[0].state, "knows of no leader" in alone[0].detail) == ("warning", True)


def test_a_database_that_is_away_is_told_in_its_own_words() -> None:
    """Services that cannot reach it say so to their callers; their operator looks here first."""
    found = database_finding("postgresql://suanmesh@/x?host=%2Fnowhere")

    assert (found.state, "start it" in found.detail) == ("warning", True)
    assert "\n" not in found.detail
