"""How a process returns the memory of large messages to the system."""

from __future__ import annotations

import ctypes

_MMAP_THRESHOLD = (-3, 128 * 1024)
"""From this many bytes on a block is mapped by itself and returned when it is freed. glibc raises the threshold with
every such block that is freed, up to 32 MiB, unless it has been set once: then a flood's messages stay in the heap."""
_TRIM_THRESHOLD = (-1, 1024 * 1024)
"""So many free bytes at the end of the heap are kept."""
_ARENAS_MAX = (-8, 2)
"""Heaps; gRPC's threads have one each otherwise, and each keeps what its largest moment took."""


def give_memory_back() -> None:
    """Have large blocks returned to the system as soon as they are freed (`mallopt(3)`); nothing without glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in (_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENAS_MAX):
        mallopt(parameter, value)
