"""How a process of a node keeps its memory: large messages go back to the system, cycles are rarely looked for."""

from __future__ import annotations

import ctypes
import gc

_MMAP_THRESHOLD = (-3, 128 * 1024)
"""From this many bytes on a block is mapped by itself and returned when it is freed. glibc raises the threshold with
every such block that is freed, up to 32 MiB, unless it has been set once: then a flood's messages stay in the heap."""
_TRIM_THRESHOLD = (-1, 1024 * 1024)
"""So many free bytes at the end of the heap are kept."""
_ARENAS_MAX = (-8, 2)
"""Heaps; gRPC's threads have one each otherwise, and each keeps what its largest moment took."""
_NEW_OBJECTS = 3_000
"""So many that stay are looked through for cycles; with Python's 700 that takes a fiftieth of a server's time."""


def give_memory_back() -> None:
    """Have large blocks returned to the system as soon as they are freed (`mallopt(3)`); nothing without glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in (_MMAP_THRESHOLD, _TRIM_THRESHOLD, _ARENAS_MAX):
        mallopt(parameter, value)


def look_for_cycles_less() -> None:
    """Look for cycles among more new objects at a time, and never again among those that are there: modules, mostly.

    What waits to be found is small: gRPC leaves five objects of each call that is served, which hold the metadata of
    the call but no message.
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
