"""Who may write where, as etcd is told it."""

from __future__ import annotations

import itertools

from suanmesh_store import layout

AREAS = ("registry", "scheduler", "network_orchestrator", "transport", "accounting", "gateway")


def test_no_two_services_write_under_one_prefix() -> None:
    """A service relies on nobody else touching what it read; only holds are shared, between their owners."""
    for one, other in itertools.combinations(AREAS, 2):
        for mine, theirs in itertools.product(layout.written_by(one), layout.written_by(other)):
            shared = mine.startswith(theirs) or theirs.startswith(mine)
            assert not shared or mine == theirs == layout.HOLDS, (one, other, mine, theirs)


def test_a_service_may_write_all_that_is_its_own() -> None:
    """A key outside of what etcd was told would be refused at the first write on a real node."""
    for kind in (value for value in vars(layout).values() if isinstance(value, layout.Kind)):
        assert kind.prefix.startswith(layout.written_by(kind.area))
    for area in AREAS:
        own = (layout.instance_key(area, "i"), f"{layout.election_key(area)}/1", layout.request_key(area, "p", "r"))
        for key in (*own, layout.signing_key(area, "f")):
            assert key.startswith(layout.written_by(area))
    assert layout.alive_key("sites/s").startswith(layout.written_by("registry"))
    for area in ("network_orchestrator", "accounting", "scheduler"):
        assert layout.hold_key("placements/p", area, 0).startswith(layout.written_by(area))
