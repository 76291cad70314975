"""How one authority takes the place of another: trusted first, issuing later, alone at last.

Whoever renews is told of every authority that is trusted. So one overlap after it is made the next is known to all
whose certificates are still good, and may issue; one overlap after that every certificate that is still good is its
own. This holds where the overlap is no shorter than certificates are good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Rotation:
    """The turn of one authority, which takes the place of the one before."""

    issues_from: datetime
    """From then on certificates are its own."""
    alone_from: datetime
    """From then on the one before is trusted no more."""

    @classmethod
    def begun(cls, now: datetime, overlap: timedelta) -> Rotation:
        """Of an authority that is made `now`."""
        return cls(now + overlap, now + 2 * overlap)


def issuing(rotations: Sequence[Rotation], now: datetime) -> int:
    """Which authority issues, 0 for the first; `rotations` are those of the ones after it, in order."""
    return sum(now >= each.issues_from for each in rotations)


def trusted(rotations: Sequence[Rotation], now: datetime) -> range:
    """Which authorities are trusted, the oldest first."""
    return range(sum(now >= each.alone_from for each in rotations), len(rotations) + 1)
