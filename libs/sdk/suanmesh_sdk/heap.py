"""How the heap of a program that moves data is kept."""

from __future__ import annotations

import ctypes
from functools import cache

_MMAP_THRESHOLD = (-3, 32 * 1024 * 1024)
_TRIM_THRESHOLD = (-1, 64 * 1024 * 1024)
"""The highest that glibc raises them to by itself, which it does once a block of 32 MiB has been freed."""


@cache
def keep_packs() -> None:
    """Have freed blocks of a mebibyte stay for the next pack (`mallopt(3)`); nothing without glibc.

    Otherwise they go back to the system, which fills with zeros what it gives out anew: that takes fifteen times as
    long as to read a pack. Once a process; no block is kept that glibc would never keep.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
        mallopt(parameter, value)
