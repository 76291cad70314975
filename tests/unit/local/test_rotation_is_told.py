"""What `suan node rotate` says of the time that it gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanmesh_chassis.ca import LEAF_DAYS, USER_DAYS
from suanmesh_local.facts import NodeFacts
from suanmesh_local.identities import found_identities
from suanmesh_local.node import NODE
from suanmesh_local.rotating import main


@pytest.mark.parametrize(
    ("days", "late"),
    [(USER_DAYS, ()), (LEAF_DAYS, ("users",)), (LEAF_DAYS / 2, ("services and sites", "users"))],
)
def test_who_will_not_know_the_next_authority_in_time_is_said_before_it_is_too_late(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], days: float, late: tuple[str, ...]
) -> None:
    """An operator in a hurry was told that everybody had renewed by then, and all sites were out the next day."""
    found_identities(tmp_path / "tls", NodeFacts(NODE))

    assert main(tmp_path, days) == 0
    (said,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("issues")]

    assert [who for who in ("services and sites", "users") if f"of {who}, whose" in said] == list(late)
    assert ("everybody whose certificate is good has renewed" in said) == (not late)
