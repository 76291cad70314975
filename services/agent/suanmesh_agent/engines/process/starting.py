"""Starting the command of a task, and telling why it could not be started. Standard library only."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from suanmesh_agent.domain.starts import STATUS_NOT_EXECUTABLE, STATUS_NOT_FOUND, UNSTARTABLE

STATUS_NOT_SHUT_IN = 125
"""Exit status of a task that the site could not put behind its walls."""
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)
_SHELL = "/bin/sh"
_ELF = b"\x7fELF"
_LINE_BYTES_MAX = 256
"""As much of a first line as Linux looks at."""


class Starting:
    """What the shim hears of the start of a command: over a pipe that a command which was started does not have."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._argv, self._env, self._mark = spec["argv"], spec["env"], spec["unstarted_mark"]
        self._secret_env = spec["secret_env"]
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def become(self) -> int:
        """In the task's process: become its command. Comes back, with the exit status, only where it cannot.

        Raises OSError where a file whose content is to be a variable cannot be read.
        """
        self._env |= {name: Path(file).read_bytes() for name, file in self._secret_env.items()}
        try:
            self._execute()
        except OSError as fault:
            lacking = _interpreter(self._argv[0]) if fault.errno == errno.ENOENT else ""
            absent = fault.errno in _NOT_THERE and not lacking
            os.write(2, f"cannot run {self._argv[0]}: {lacking or fault.strerror}\n".encode())
            os.write(self._writer, b"!")
            return STATUS_NOT_FOUND if absent else STATUS_NOT_EXECUTABLE
        return STATUS_NOT_EXECUTABLE

    def _execute(self) -> None:
        """A script that names no interpreter is the shell's, as for every shell. Raises OSError."""
        try:
            os.execvpe(self._argv[0], self._argv, self._env)
        except OSError as fault:
            if fault.errno != errno.ENOEXEC or "/" not in self._argv[0] or _is_program(self._argv[0]):
                raise
            os.execve(_SHELL, [_SHELL, *self._argv], self._env)

    def forked(self) -> None:
        """In the shim, once the task's process is there."""
        os.close(self._writer)

    def failure(self, status: int | None) -> str:
        """Once it is over: why the command was not started, or nothing where it was."""
        try:
            told = bool(os.read(self._reader, 1))
        except BlockingIOError:  # somebody still holds the other end, who is no command
            told = False
        os.close(self._reader)
        told = told or bool(self._mark and os.path.lexists(self._mark))
        return UNSTARTABLE.get(status or 0, "") if told else ""


def _interpreter(path: str) -> str:
    """What a file that is there needs, where that is not; empty where the file itself is not there."""
    if "/" not in path or not Path(path).is_file():
        return ""
    try:
        with Path(path).open("rb") as file:
            first = file.readline(_LINE_BYTES_MAX)
    except OSError:
        first = b""
    if not first.startswith(b"#!"):
        return "what it is to be loaded by is not there"
    return (
        f"its first line names {first[2:].strip(b' ').removesuffix(bytes([10])).decode(errors='replace')!r}, not there"
    )


def _is_program(path: str) -> bool:
    """Whether it is a program of another kind of machine."""
    with Path(path).open("rb") as file:
        return file.read(len(_ELF)) == _ELF


def let_go(starter: int) -> None:
    """Tell the starter that the task runs, and let go of its terminal and pipes."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(starter)
