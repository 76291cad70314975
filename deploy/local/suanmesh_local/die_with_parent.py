"""Runs a program that ends with the process that started it, however that one ended.

`python -I -S die_with_parent.py PARENT PROGRAM ARGUMENT...` becomes the program. Standard library only.
A program of its own, because between fork and exec of a process with threads hardly anything may be done.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Sequence

NOT_RUN = 127
_PR_SET_PDEATHSIG = 1


def die_with_parent(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` for no longer than this process. Raises RuntimeError off the main thread."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("the kernel would end it with this thread, not with this process")
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(parent: int, command: list[str]) -> int:
    """Have the kernel kill this process when `parent` ends, then become `command`."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the kernel had been asked
        return NOT_RUN
    try:
        os.execv(command[0], command)
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
    return NOT_RUN


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
