"""`suan node upgrade`: have a node that runs renew its services as they are installed now, one after the other."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.private import write_private
from suanmesh_local.control_plane import LOCK
from suanmesh_local.launcher import FAULTS, said_of, tell
from suanmesh_local.lock import Lock, Taken
from suanmesh_local.renewing_units import renewed
from suanmesh_local.rolling import REQUEST, progress_in
from suanmesh_local.unit_control import Systemctl, UnitFault, Units

TAKEN_S = 15.0
"""How long a running launcher may take to see a request, seconds."""
LOOK_S = 0.2


def main(folder: Path) -> int:
    """Have the node that runs in `folder` renew its processes, and tell of each. Answers the exit status."""
    if not _runs(folder):
        return _renewed_by_systemd(folder, Systemctl())
    request = sortable_id(SystemClock().now(), system_rng)
    write_private(folder / REQUEST, request.encode())
    told, begun = 0, time.monotonic()
    while True:
        progress = progress_in(folder)
        if progress is not None and progress.request == request:
            for name in progress.renewed[told:]:
                tell(name, "renewed")
            told = len(progress.renewed)
            if progress.ended:
                break
        elif time.monotonic() - begun > TAKEN_S:
            (folder / REQUEST).unlink(missing_ok=True)
            return _failed("its launcher is of a version that renews nothing: stop it, and start it anew")
        if not _runs(folder):
            return _failed("the node has ended meanwhile")
        time.sleep(LOOK_S)
    return _failed(progress.problem) if progress.problem else 0


def _renewed_by_systemd(folder: Path, units: Units) -> int:
    """The same for a node that systemd runs."""
    try:
        if folder.stat().st_uid != os.geteuid():
            return _failed(f"{folder} is {folder.owner()}'s: be that user, who may use sudo")
        problem = asyncio.run(renewed(folder, units, tell))
    except (*FAULTS, UnitFault) as fault:
        return _failed(said_of(fault))
    if problem is None:
        return _failed(f"{folder} is not run by `suan node run`, and none of its units is active")
    return _failed(problem) if problem else 0


def _failed(problem: str) -> int:
    print(f"suan node upgrade: {problem}", file=sys.stderr)
    return 1


def _runs(folder: Path) -> bool:
    if not (folder / LOCK).exists():
        return False
    lock = Lock(folder / LOCK)
    try:
        lock.take()
    except Taken:
        return True
    lock.release()
    return False
