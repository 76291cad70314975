"""Memory that a flood took is the system's again once the flood is over, and collections cost calls little."""

from __future__ import annotations

import subprocess
import sys

import pytest

MIB = 1 << 20
BLOCKS = 64
KEPT_LITTLE = range(-16 * MIB, 16 * MIB)
"""Where the machine runs short, the system also takes pages of programs back, which it can read again."""
AFTER_A_FLOOD = f"""
import ctypes, sys
from suanmesh_chassis.memory import SpareMemory, give_memory_back

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

if "give" in sys.argv:
    give_memory_back(packs="packs" in sys.argv)
spare = SpareMemory()
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before = resident()
free(malloc(16 * {MIB}))
blocks = []
for _ in range({BLOCKS}):
    blocks.append(malloc({MIB}))
    ctypes.memset(ctypes.c_void_p(blocks[-1]), 1, {MIB})
    malloc(64 * 1024)  # something that stays, behind each
for block in blocks:
    free(block)
if "packs" in sys.argv:
    spare.give_back()
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems' malloc knows no mallopt")
@pytest.mark.parametrize(
    ("told", "expected"),
    [(["give"], KEPT_LITTLE), (["give", "packs"], KEPT_LITTLE), ([], range(48 * MIB, 99 * MIB))],
)
def test_the_memory_of_large_messages_is_returned(told: list[str], expected: range) -> None:
    """A gateway that once passed on large messages must not keep their room from its neighbours for good."""
    command = [sys.executable, "-c", AFTER_A_FLOOD, *told]
    kept = int(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)

    assert kept in expected


SERVES = """
import gc
from suanmesh_chassis.event_loop import run_on_loop

async def looked_at():
    return len(gc.get_objects()), gc.get_threshold()[0]

print(*run_on_loop(looked_at()))
"""


def test_cycles_are_not_looked_for_among_what_a_process_has_imported() -> None:
    """Whoever calls a service would wait time and again while all its modules are gone through for nothing."""
    command = [sys.executable, "-c", SERVES]
    objects, threshold = map(int, subprocess.run(command, capture_output=True, check=True, timeout=30).stdout.split())

    assert objects < threshold
