"""`suan node upgrade`: have a node that runs renew its services as they are installed now, one after the other."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_kernel.identifiers import sortable_id
from suanmesh_kernel.private import replace_private
from suanmesh_local.format import LOCK
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
    if not is_launched(folder):
        return _renewed_by_systemd(folder, Systemctl())
    problem = ask_launcher(folder, REQUEST)
    return _failed(problem) if problem else 0


def ask_launcher(folder: Path, file: str, details: str = "") -> str:
    """Have the launcher of a node do what a request in `file` asks for; tell of each process that it renews meanwhile.

    Answers what went wrong; empty where nothing did.
    """
    request = sortable_id(SystemClock().now(), system_rng)
    replace_private(folder / file, f"{request}\n{details}".encode())
    told, begun = 0, time.monotonic()
    while True:
        progress = progress_in(folder)
        if progress is not None and progress.request == request:
            for name in progress.renewed[told:]:
                tell(name, "renewed")
            told = len(progress.renewed)
            if progress.ended:
                return progress.problem
        elif time.monotonic() - begun > TAKEN_S:
            (folder / file).unlink(missing_ok=True)
            return "its launcher is of a version that does not know how: stop it, and start it anew"
        if not is_launched(folder):
            (folder / file).unlink(missing_ok=True)
            return "the node has ended meanwhile"
        time.sleep(LOOK_S)


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


def is_launched(folder: Path) -> bool:
    """Whether `suan node run` runs the node in `folder`."""
    if not (folder / LOCK).exists():
        return False
    lock = Lock(folder / LOCK)
    try:
        lock.take()
    except Taken:
        return True
    lock.release()
    return False
