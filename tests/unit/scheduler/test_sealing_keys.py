"""The keys that secrets are sealed for: taken over by newer ones, shared, and for nobody else's eyes."""

from __future__ import annotations

import stat
from pathlib import Path

from suanmesh_kernel.clock import HandClock
from suanmesh_scheduler.sealing_keys import KEPT_MAX, RENEWED_AFTER, SealingKeys
from suanmesh_sdk import sealing

MONTH_S = RENEWED_AFTER.total_seconds()


def test_a_key_opens_long_after_another_took_over(tmp_path: Path) -> None:
    """A job that waits over the change of keys would lose its secrets, and fail for it."""
    clock = HandClock()
    keys = SealingKeys(tmp_path / "keys.json", clock)
    first = keys.current()
    text = sealing.sealed(b"kept", first.public_key, b"x")
    seen = {first.key_id}
    for _ in range(KEPT_MAX - 1):
        clock.advance(MONTH_S)
        seen.add(keys.current().key_id)
    assert len(seen) == KEPT_MAX
    opener = SealingKeys(tmp_path / "keys.json", clock).key(first.key_id)
    assert opener is not None
    assert sealing.opened(text, opener, b"x") == b"kept"
    clock.advance(MONTH_S)
    keys.current()
    assert keys.key(first.key_id) is None, "nothing that old is still to be opened"


def test_instances_seal_and_open_for_each_other(tmp_path: Path) -> None:
    """A secret that was sealed for what one instance said is opened by the one that leads when its job runs."""
    clock = HandClock()
    one, other = (SealingKeys(tmp_path / "keys.json", clock) for _ in range(2))
    assert one.current() == other.current()
    clock.advance(MONTH_S)
    newest = other.current()
    assert one.key(newest.key_id) is not None
    assert one.current() == newest


def test_only_its_user_reads_the_keys(tmp_path: Path) -> None:
    """Who reads them and a copy of the records has every secret."""
    SealingKeys(tmp_path / "keys.json", HandClock()).current()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes
