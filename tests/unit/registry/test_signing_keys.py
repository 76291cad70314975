"""The keys of a site over its life: rotation loses nothing, revives nothing, and keeps a bounded number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.key_windows import LATE_S, OVERLAP_S, KeyWindow
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, ResourceExhausted
from suanmesh_registry.domain.signing_keys import KEYS_MAX, fresh, rotated

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 90.0


def a_key(name: str, now: datetime = NOW) -> KeyWindow:
    return fresh(name, name.encode().ljust(32, b"."), now, DAYS)


@given(st.lists(st.integers(1, 200 * 86_400), min_size=1, max_size=40))
def test_rotation_loses_nothing(pauses_s: list[int]) -> None:
    """Whatever an agent signs with the key it has is paid, however often and late it takes another."""
    keys, now = (a_key("0"),), NOW
    for number, pause_s in enumerate(pauses_s, 1):
        now += timedelta(seconds=pause_s)
        before, key = keys, a_key(str(number), now)
        try:
            keys = rotated(keys, key, now)
        except ResourceExhausted:
            assert all(not each.over(now) for each in before)
            assert len(before) == KEYS_MAX
            continue
        assert keys[-1] == key
        assert len(keys) <= KEYS_MAX
        for each in before:
            if each.good(now):  # what it signs until the agent has the answer, and what it signed before
                later = now + timedelta(seconds=min(OVERLAP_S, (each.valid_until - now).total_seconds()) - 1)
                kept = next(k for k in keys if k.key_id == each.key_id)
                assert kept.fault(now, now + timedelta(seconds=LATE_S - 1)) is None
                assert kept.fault(later, later) is None
        assert rotated(keys, key, now) == keys


def test_a_lapsed_key_does_not_come_back() -> None:
    """A key that was given up, perhaps because it was seen by others, must not be made good again with it."""
    keys = rotated((a_key("old"),), a_key("new", NOW), NOW)
    later = NOW + timedelta(seconds=OVERLAP_S)
    with pytest.raises(FailedPrecondition, match="SIGNING_KEY_LAPSED"):
        rotated(keys, a_key("old", later), later)
    assert rotated(keys, a_key("old", NOW), NOW) == keys


def test_more_keys_than_are_kept_are_refused() -> None:
    """A site in a loop would push out keys that it still needs for what is under way."""
    keys: tuple[KeyWindow, ...] = ()
    for number in range(KEYS_MAX):
        keys = rotated(keys, a_key(str(number)), NOW)
    with pytest.raises(ResourceExhausted, match="SIGNING_KEYS_TOO_MANY"):
        rotated(keys, a_key("more"), NOW)
    later = NOW + timedelta(seconds=OVERLAP_S + LATE_S)
    assert [key.key_id for key in rotated(keys, a_key("more", later), later)] == [*map(str, range(1, KEYS_MAX)), "more"]


def test_no_key_of_another_length_is_registered() -> None:
    """Whatever is signed with it would be refused later, where nobody knows why."""
    with pytest.raises(InvalidArgument) as caught:
        fresh("k", b"short", NOW, DAYS)
    assert caught.value.facts["field"] == "signing_key"
