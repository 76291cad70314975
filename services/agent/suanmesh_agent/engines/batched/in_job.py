"""What the site's scheduler runs for a task: its shim, as the only program of a job. Standard library only.

    python -I -S -c ... <list of shim folders> <settle seconds> apart|beside <element> [<whom it ends with>]

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
    folders, settle_s, apart, element, *ends_with = sys.argv[1:]
    if ends_with:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(ends_with[0]):
            return 1
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
    signal.signal(signal.SIGCONT, signal.SIG_IGN)  # a scheduler that sends it sends it to the shim too
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, lambda *_: _pass_on(child))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _pass_on(shim: int) -> None:
    """Ask the shim to end, again and again: the first process of a namespace is not asked before it listens."""
    os.kill(shim, signal.SIGTERM)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_S)


def _run(folder: Path) -> int:
    pid = int(os.readlink("/proc/self"))  # noqa: PTH115 - the number it has on the host
    host = shim.Host(pid, None, alone=os.getpid() == 1)
    shim.run(folder, os.dup(2), Mounts(), host)
    return 0
