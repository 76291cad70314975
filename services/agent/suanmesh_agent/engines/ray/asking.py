"""The program that asks Ray for the agent, kept running: one request after the other, each with a bound."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from suanmesh_agent.engines.queued import SchedulerSilent

START_S_MAX = 60.0
ANSWER_S_MAX = 30.0
"""What was asked for may have been done all the same."""


class RaySilent(SchedulerSilent):
    """Ray was not asked, or has not answered; `code` says why where that is known."""

    def __init__(self, code: str, said: str) -> None:
        super().__init__(said)
        self.code, self.said = code, said


class Asker:
    """The program, started when it is needed, and again after it has ended. Any event loop may ask."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._child: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()
        self._unread = b""
        self._closed = False

    async def ask(self, do: str, *facts: object) -> Any:
        """What Ray answers. Raises RaySilent."""
        try:
            return await asyncio.to_thread(self._asked, {"do": do, "with": facts})
        except asyncio.CancelledError:
            self.end()
            raise

    def end(self) -> None:
        """End the program. It is started again when it is asked."""
        if (child := self._child) is not None:
            child.kill()

    def close(self) -> None:
        """End the program for good, and take its end."""
        self._closed = True
        self.end()
        with self._turn:
            self._taken_down()

    def _asked(self, request: dict[str, object]) -> Any:
        with self._turn:
            try:
                child = self._running()
                assert child.stdin is not None
                child.stdin.write(json.dumps(request).encode() + b"\n")
                child.stdin.flush()
                return self._answer(child, ANSWER_S_MAX)
            except FileNotFoundError as fault:
                raise RaySilent("RAY_ABSENT", str(fault.filename)) from fault
            except OSError as fault:
                self._taken_down()
                raise RaySilent("RAY_SILENT", f"{self._command[0]}: {fault.strerror}") from fault

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._taken_down()
        if self._closed:
            raise RaySilent("RAY_SILENT", "nobody asks any more")
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(
            self._command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=self._environment
        )
        if self._closed:  # meanwhile
            self.end()
        self._answer(self._child, START_S_MAX)
        return self._child

    def _answer(self, child: subprocess.Popen[bytes], within_s: float) -> Any:
        """The next line. One that came late must not be taken for the next answer: its program is ended."""
        try:
            said = json.loads(self._line(child, within_s))
        except (TimeoutError, EOFError) as fault:
            self._taken_down()
            raise RaySilent("RAY_SILENT", str(fault)) from fault
        if "failure" in said:
            self._taken_down()
            raise RaySilent(said["failure"], said["said"])
        return said["answer"]

    def _line(self, child: subprocess.Popen[bytes], within_s: float) -> bytes:
        assert child.stdout is not None
        until = time.monotonic() + within_s
        poll = select.poll()
        poll.register(child.stdout, select.POLLIN)
        while b"\n" not in self._unread:
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                raise TimeoutError(f"it took longer than {within_s:.0f} s")
            content = child.stdout.raw.read(1 << 16)  # type: ignore[attr-defined]
            if not content:
                raise EOFError("what asks Ray has ended, as it does when Ray's node on this host dies")
            self._unread += content
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _taken_down(self) -> None:
        self._unread = b""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        with contextlib.suppress(OSError), child:  # closes its pipes, and takes its end
            pass
