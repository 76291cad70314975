"""Which certificates are refused although they have not lapsed: those that begin before their identity was revoked.

X.509 counts whole seconds, and so do revocations: what is issued after one begins at its second or later, what was
issued before begins earlier. A second revocation within a second counts as one second later.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

KEPT_DAYS = 90.0
"""How long a revocation is remembered, days: no certificate is good for longer."""


def revoked_at(now: datetime, before: datetime | None) -> datetime:
    """From when certificates of an identity that is revoked `now`, and perhaps was `before`, begin again."""
    second = now.replace(microsecond=0)
    return second if before is None or second > before else before + timedelta(seconds=1)


def is_over(valid_from: datetime, now: datetime) -> bool:
    """Whether every certificate that a revocation refuses has lapsed."""
    return now >= valid_from + timedelta(days=KEPT_DAYS)


def is_revoked(path: str, begin: datetime, revoked: Mapping[str, datetime]) -> bool:
    """Whether a certificate of the identity at `path` of its SPIFFE id, which begins at `begin`, is refused."""
    valid_from = revoked.get(path)
    return valid_from is not None and begin < valid_from
