"""The signing keys of a site: the newest takes the place of those before, which stay for what they have signed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from suanmesh_kernel.key_windows import KeyWindow
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument, ResourceExhausted

RAW_BYTES = 32
KEYS_MAX = 16
"""Keys that are kept of a site; of those that are over the oldest are let go first."""


def fresh(key_id: str, public_key: bytes, now: datetime, days: float) -> KeyWindow:
    """A key that is registered now. Raises InvalidArgument (`FIELD_INVALID`) where it is none."""
    if len(public_key) != RAW_BYTES:
        problem = f"signing_key: must be {RAW_BYTES} raw bytes"
        raise InvalidArgument("FIELD_INVALID", problem, field="signing_key")
    return KeyWindow(key_id, public_key, now, now + timedelta(days=days))


def rotated(keys: Sequence[KeyWindow], key: KeyWindow, now: datetime) -> tuple[KeyWindow, ...]:
    """The keys of a site, the newest last, once `key` is registered; the same where it is registered and good already.

    Raises FailedPrecondition (`SIGNING_KEY_LAPSED`) for one that has lapsed, ResourceExhausted
    (`SIGNING_KEYS_TOO_MANY`) where none of those that are kept is over.
    """
    known = next((each for each in keys if each.key_id == key.key_id), None)
    if known is not None and known.good(now):
        return tuple(keys)
    if known is not None:
        raise FailedPrecondition(
            "SIGNING_KEY_LAPSED",
            f"the key {key.key_id} was registered before and has lapsed: make another",
            key_id=key.key_id,
            valid_until=known.valid_until.isoformat(),
        )
    kept = [each.replaced(now) for each in keys]
    while len(kept) >= KEYS_MAX:
        ended = next((each for each in kept if each.over(now)), None)
        if ended is None:
            problem = f"a site has at most {KEYS_MAX} signing keys of the last week"
            raise ResourceExhausted("SIGNING_KEYS_TOO_MANY", problem, most=str(KEYS_MAX))
        kept.remove(ended)
    return (*kept, key)
