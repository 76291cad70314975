"""Where a hold belongs, for every way in which its placement may stand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from suanmesh_accounting.domain.ledger import TRANSITIONS, Finals, HoldState, PlacementStatus, moved_on, next_state

HELD, COMMITTED, RELEASED = HoldState.HELD, HoldState.COMMITTED, HoldState.RELEASED
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATE = timedelta(seconds=30)
RUNNING = PlacementStatus(terminal=False, end_time=None, tasks=2)
JUST_ENDED = PlacementStatus(terminal=True, end_time=NOW - LATE, tasks=2)
LONG_ENDED = PlacementStatus(terminal=True, end_time=NOW - LATE - timedelta(microseconds=1), tasks=2)
NEVER_ENDED = PlacementStatus(terminal=True, end_time=None, tasks=2)
OUT = frozenset({"transfers/p-out-0", "transfers/p-out-1"})
JUST_DELIVERED, LONG_DELIVERED = replace(JUST_ENDED, deliveries=OUT), replace(LONG_ENDED, deliveries=OUT)
NONE = Finals()
BOTH = Finals(frozenset({0, 1}))


@pytest.mark.parametrize(
    ("state", "standing", "finals", "orphaned", "expected"),
    [
        (HELD, None, NONE, False, HELD),
        (HELD, None, NONE, True, RELEASED),
        (HELD, RUNNING, NONE, False, COMMITTED),
        (HELD, JUST_ENDED, BOTH, False, COMMITTED),
        (COMMITTED, RUNNING, BOTH, False, COMMITTED),
        (COMMITTED, JUST_ENDED, Finals(frozenset({0})), False, COMMITTED),
        (COMMITTED, JUST_ENDED, Finals(frozenset({0, 7})), False, COMMITTED),
        (COMMITTED, JUST_ENDED, BOTH, False, RELEASED),
        (COMMITTED, JUST_ENDED, replace(BOTH, transfers=OUT), False, RELEASED),
        (COMMITTED, JUST_DELIVERED, BOTH, False, COMMITTED),
        (COMMITTED, JUST_DELIVERED, replace(BOTH, transfers=frozenset({"transfers/p-out-1"})), False, COMMITTED),
        (COMMITTED, JUST_DELIVERED, Finals(transfers=OUT), False, COMMITTED),
        (COMMITTED, JUST_DELIVERED, replace(BOTH, transfers=OUT | {"transfers/p-in-0"}), False, RELEASED),
        (COMMITTED, LONG_DELIVERED, BOTH, False, RELEASED),
        (COMMITTED, LONG_ENDED, NONE, False, RELEASED),
        (COMMITTED, NEVER_ENDED, NONE, False, RELEASED),
        (COMMITTED, None, NONE, False, RELEASED),
    ],
)
def test_a_hold_is_where_its_placement_says(
    state: HoldState, standing: PlacementStatus | None, finals: Finals, orphaned: bool, expected: HoldState
) -> None:
    """Money that stays promised to nobody is money its owner cannot spend."""
    found = next_state(state, standing, finals, now=NOW, late=LATE, orphaned=orphaned)
    assert found is expected
    assert found is state or found in TRANSITIONS[state]


@pytest.mark.parametrize(
    ("state", "to"), [(RELEASED, HELD), (RELEASED, COMMITTED), (COMMITTED, HELD), (HELD, HELD), (RELEASED, RELEASED)]
)
def test_nothing_leads_back(state: HoldState, to: HoldState) -> None:
    """What was given back may have been promised to another by now."""
    with pytest.raises(ValueError, match="cannot go"):
        moved_on(state, to)
