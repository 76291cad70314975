"""What the site's scheduler runs for a task: its shim, as the only program of a job. Standard library only.

    python -I -S -c ... <list of shim folders> <settle seconds> apart|beside <folder of device files> <element>
        [<whom it ends with>]

It may be run twice for one task, after the scheduler has lost it or was handed it a second time: the shim's lock, and
what it keeps beside it, let the task run once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from suanmesh_agent.domain.card_files import CARD_CONTROL, minors_of
from suanmesh_agent.engines.process import seccomp, shim, syscalls
from suanmesh_agent.engines.process.confinement import Mounts
from suanmesh_agent.engines.process.sandbox import with_devices

_LOOK_S = 0.2
_DECIDED = ("started.json", "exit.json")
_DRIVER = Path("/proc/driver/nvidia/gpus")
"""A folder for each card of this host, in the order in which NVIDIA's library counts them."""


def main() -> int:
    """Run the task of this element of its batch to its end, unless it has run or is not wanted any more."""
    folders, settle_s, apart, dev_folder, element, *ends_with = sys.argv[1:]
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
    return _run_apart(folder, dev_folder) if apart == "apart" else _run(folder, dev_folder)


def _settled(folder: Path, settle_s: float) -> bool:
    """Wait until the scheduler has this on disk: a slurmctld that dies before has it killed when it is back."""
    until = time.monotonic() + settle_s
    while not any((folder / name).exists() for name in _DECIDED):
        left = until - time.monotonic()
        if left <= 0:
            return True
        time.sleep(min(left, _LOOK_S))
    return False


def _run_apart(folder: Path, dev_folder: str) -> int:
    """As the first process of a namespace, which ends with this one."""
    syscalls.unshare(syscalls.CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        status = 1
        try:
            status = _run(folder, dev_folder)
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


def _run(folder: Path, dev_folder: str) -> int:
    pid = int(os.readlink("/proc/self"))  # noqa: PTH115 - the number it has on the host
    host = shim.Host(pid, None, alone=os.getpid() == 1)
    shim.run(folder, os.dup(2), Mounts(), host, partial(_add_cards, dev_folder))
    return 0


def _driver_tells() -> list[str]:
    """What the driver says of each card; nothing where it says nothing."""
    return [(card / "information").read_text() for card in sorted(_DRIVER.glob("*"))]


def _add_cards(dev_folder: str, spec: dict[str, Any]) -> None:
    """Give the task the node's cards that its job has, by the numbers of their device files, and tell it which.

    Behind walls it has a /dev with no other cards, where programs count them from 0; without, it is told what the
    scheduler has told its job.
    """
    told = os.environ.get("CUDA_VISIBLE_DEVICES")  # noqa: TID251 - the scheduler's word
    if told is None:
        return
    of_node = os.environ.get("SLURM_JOB_GPUS")  # noqa: TID251 - where Slurm hides the others, it tells a job from 0 on
    numbers = minors_of(told, _driver_tells()) if of_node is None else minors_of(of_node, ())
    names = [f"nvidia{number}" for number in numbers] + list(CARD_CONTROL) * bool(numbers)
    nodes = [(f"{dev_folder}/{name}", name) for name in names if Path(dev_folder, name).exists()]
    walled = bool(spec["sandbox"]) or (spec["confine"] or {}).get("walled", False)
    visible = ",".join(map(str, range(len(numbers)))) if walled or not numbers else told
    spec["env"] |= {"CUDA_VISIBLE_DEVICES": visible, "NVIDIA_VISIBLE_DEVICES": visible or "void"}
    spec["cards"] = numbers
    if spec["sandbox"]:
        spec["argv"] = with_devices(spec["argv"], nodes)
    elif walled:
        spec["confine"]["nodes"] = nodes
