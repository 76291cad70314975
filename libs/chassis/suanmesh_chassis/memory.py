"""How a process of a node keeps its memory: large messages go back to the system, cycles are rarely looked for."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import resource
from pathlib import Path

_MMAP_THRESHOLD = (-3, 128 * 1024)
"""From this many bytes on a block is mapped by itself and returned when it is freed. glibc raises the threshold with
every such block that is freed, up to 32 MiB, unless it has been set once: then a flood's messages stay in the heap."""
_TRIM_THRESHOLD = (-1, 1024 * 1024)
"""So many free bytes at the end of the heap are kept."""
_PACK_THRESHOLD = (-3, 1280 * 1024)
_PACKS_KEPT = (-1, 16 * 1024 * 1024)
"""Of who passes on packs of a mebibyte: to map a block and to fill it with zeros takes the system twenty times as long
as to copy what it is for, so these are taken from a heap that keeps so much at its end."""
_ARENAS_MAX = (-8, 2)
"""Heaps; gRPC's threads have one each otherwise, and each keeps what its largest moment took."""
SPARE_LOOK_S = 10.0
SPARE_BYTES_MAX = 16 * 1024 * 1024
"""By how much a process may have grown before its heap is looked through, which takes milliseconds."""
_NEW_OBJECTS = 3_000
"""So many that stay are looked through for cycles; with Python's 700 that takes a fiftieth of a server's time."""


def give_memory_back(*, packs: bool = False) -> None:
    """Have large blocks returned to the system as soon as they are freed (`mallopt(3)`); nothing without glibc.

    With `packs` those of a pack are kept for the next one; what is not needed is for `SpareMemory` to return.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    kept = (_PACK_THRESHOLD, _PACKS_KEPT) if packs else (_MMAP_THRESHOLD, _TRIM_THRESHOLD)
    for parameter, value in (*kept, _ARENAS_MAX):
        mallopt(parameter, value)


class SpareMemory:
    """Returns what the heap keeps to the system, where the process has grown since it last did."""

    def __init__(self) -> None:
        self._least = _resident_bytes()
        self._timer: asyncio.TimerHandle | None = None

    def look_again(self) -> None:
        """Look now, and every `SPARE_LOOK_S` from now on, until `stop`."""
        self.give_back()
        self._timer = asyncio.get_running_loop().call_later(SPARE_LOOK_S, self.look_again)

    def give_back(self) -> None:
        """Look once."""
        if _resident_bytes() <= self._least + SPARE_BYTES_MAX:
            return
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
        self._least = _resident_bytes()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def look_for_cycles_less() -> None:
    """Look for cycles among more new objects at a time, and never again among those that are there: modules, mostly.

    What waits to be found is small: gRPC leaves five objects of each call that is served, which hold the metadata of
    the call but no message.
    """
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
