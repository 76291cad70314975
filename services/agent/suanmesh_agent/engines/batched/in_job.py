"""What the site's scheduler runs for a task: its shim, as the only program of a job. Standard library only.

    python -I -S -c ... <list of shim folders> <settle seconds> apart|beside <element>

It may be run twice for one task, after the scheduler has lost it or was handed it a second time: the shim's lock, and
what it keeps beside it, let the task run once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from suanmesh_agent.engines.process import seccomp, shim, syscalls
from suanmesh_agent.engines.process.confinement import Mounts

_LOOK_S = 0.2
_DECIDED = ("started.json", "exit.json")


def main() -> int:
    """Run the task of this element of its batch to its end, unless it has run or is not wanted any more."""
    folders, settle_s, apart, element = sys.argv[1:5]
    folder = Path(Path(folders).read_text().splitlines()[int(element)])
    os.umask(0o022)
    os.chdir("/")
    if not _settled(folder, float(settle_s)):
        return 0
    seccomp.program()
    return _run_apart(folder) if apart == "apart" else _run(folder)


def _settled(folder: Path, settle_s: float) -> bool:
    """Wait until the scheduler has this on disk: a slurmctld that dies before has it killed when it is back."""
    until = time.monotonic() + settle_s
    while not any((folder / name).exists() for name in _DECIDED):
        left = until - time.monotonic()
        if left <= 0:
            return True
        time.sleep(min(left, _LOOK_S))
    return False


def _run_apart(folder: Path) -> int:
    """As the first process of a namespace, which ends with this one."""
    syscalls.unshare(syscalls.CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        status = 1
        try:
            status = _run(folder)
        finally:
            sys.stderr.flush()
            os._exit(status)  # nothing above this frame is a shim's
    for number in (signal.SIGTERM, signal.SIGCONT):  # what a scheduler sends, it sends to the shim too
        signal.signal(number, signal.SIG_IGN)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(folder: Path) -> int:
    pid = int(os.readlink("/proc/self"))  # noqa: PTH115 - the number it has on the host
    host = shim.Host(pid, None, alone=os.getpid() == 1)
    shim.run(folder, os.dup(2), Mounts(), host)
    return 0
