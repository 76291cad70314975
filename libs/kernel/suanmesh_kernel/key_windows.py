"""Public keys and the times they are good for: what is signed with one is believed within its window, not beyond."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

CLOCKS_S = 300.0
"""How far the clocks of a signer and of whoever checks may be apart, seconds."""
LATE_S = 7 * 86_400.0
"""How long after its window what was signed within it may still arrive, seconds: a site may be cut off for so long."""
OVERLAP_S = 3_600.0
"""How long a key stays good once another has taken its place, seconds: what was being signed is finished in it."""
RENEW_PART = 2 / 3
"""The part of its window after which a key is to be replaced."""


class KeyFault(Enum):
    """Why a key of the right owner does not vouch for something; the values are words for people."""

    EARLY = "its window has not begun"
    LAPSED = "it was signed after the key's window"
    LATE = "it was signed within the key's window, and came too long after it"


@dataclass(frozen=True, slots=True)
class KeyWindow:
    """A key and its time."""

    key_id: str
    """`<identity>#<16 hex digits>`."""
    public_key: bytes
    """Raw Ed25519 key, 32 bytes."""
    valid_from: datetime
    valid_until: datetime

    def good(self, now: datetime) -> bool:
        """Whether `now` is within."""
        return self.valid_from <= now < self.valid_until

    def fault(self, signed: datetime, now: datetime) -> KeyFault | None:
        """Why the key does not vouch for what was `signed` at one time and is looked at `now`; None where it does.

        `signed` is the signer's word: whoever has a stolen key may backdate what it signs, for LATE_S and no longer.
        """
        clocks = timedelta(seconds=CLOCKS_S)
        if now < self.valid_from - clocks:
            return KeyFault.EARLY
        if signed >= self.valid_until + clocks:
            return KeyFault.LAPSED
        return KeyFault.LATE if self.over(now) else None

    def over(self, now: datetime) -> bool:
        """Whether nothing that was signed with it is believed any more."""
        return now >= self.valid_until + timedelta(seconds=LATE_S)

    def due(self, now: datetime) -> bool:
        """Whether it is time to put another in its place."""
        return now >= self.valid_from + (self.valid_until - self.valid_from) * RENEW_PART

    def replaced(self, now: datetime) -> KeyWindow:
        """The key once another has taken its place."""
        return replace(self, valid_until=min(self.valid_until, now + timedelta(seconds=OVERLAP_S)))
