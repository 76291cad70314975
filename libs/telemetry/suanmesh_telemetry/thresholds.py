"""From where on a reading is wrong: one bound for the alert and for what `suan top` and `suan node check` say."""

from __future__ import annotations

from typing import Final

DISK_BYTES_MIN: Final = 2_000_000_000
"""With less room than this somebody has to make some."""
DISK_BYTES_LEAST: Final = 250_000_000
"""With less than this etcd may end at any moment: it sets aside 64 MB at once."""
WATCH_LAG_S_MAX: Final = 5.0
"""Who is told of changes later than this decides about a mesh that was."""
CERTIFICATE_LIFE_MIN: Final = 0.2
"""The part of its life that a certificate has left when it ought to have been renewed for long."""
