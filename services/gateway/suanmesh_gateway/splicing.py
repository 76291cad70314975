"""Two sockets joined by pipes of the kernel's (splice(2)): what goes through never comes into this process."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from collections.abc import Callable
from contextlib import suppress

PIPE_BYTES = 512 * 1024
"""What a pipe is asked to hold; where the system gives less it holds less."""
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Joined:
    """Passes on what comes on either socket. The sockets do not block; `passed` is told how many bytes went on."""

    def __init__(self, one: socket.socket, other: socket.socket, passed: Callable[[int], None]) -> None:
        self._sockets = (one, other)
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._bytes = 0
        self._passed = passed
        self._ways: list[_Way] = []

    async def pass_on(self, idle_s_max: float) -> None:
        """Return once both have ended, one breaks, or nothing has come for so long; both are closed then."""
        try:
            for source, target in (self._sockets, self._sockets[::-1]):
                self._ways.append(_Way(source, target, self._count, self._ended))
            for way in self._ways:
                way.begin()
            before = -1
            while not self._over.done() and before != self._bytes:
                before = self._bytes
                await asyncio.wait([self._over], timeout=idle_s_max)
        finally:
            for way in self._ways:
                way.close()
            for each in self._sockets:
                each.close()

    def _count(self, size: int) -> None:
        self._bytes += size
        self._passed(size)

    def _ended(self, broken: bool) -> None:
        if (broken or all(way.ended for way in self._ways)) and not self._over.done():
            self._over.set_result(None)


class _Way:
    """One direction: nothing more is taken until all that was taken has gone on."""

    def __init__(
        self, source: socket.socket, target: socket.socket, count: Callable[[int], None], tell: Callable[[bool], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._target = target
        self._count = count
        self._tell = tell
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with suppress(PermissionError):  # the user has many pipes already
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._held = 0
        self._at_end = False
        self.ended = False
        """Whether the source has ended, and its target was told."""

    def begin(self) -> None:
        """Take what comes."""
        self._loop.add_reader(self._source, self._take)

    def close(self) -> None:
        """Take nothing more, and drop what waits."""
        self._loop.remove_reader(self._source)
        self._loop.remove_writer(self._target)
        os.close(self._out)
        os.close(self._in)

    def _take(self) -> None:
        try:
            self._held = os.splice(self._source.fileno(), self._in, PIPE_BYTES, flags=_FLAGS)
        except BlockingIOError:
            return
        except OSError:
            self._tell(True)
            return
        if self._held == 0:
            self._at_end = True
            self._loop.remove_reader(self._source)
        self._give()
        if self._held:
            self._loop.remove_reader(self._source)
            self._loop.add_writer(self._target, self._give_rest)

    def _give_rest(self) -> None:
        self._give()
        if not self._held and not self._at_end:
            self._loop.remove_writer(self._target)
            self._loop.add_reader(self._source, self._take)

    def _give(self) -> None:
        try:
            while self._held:
                size = os.splice(self._out, self._target.fileno(), self._held, flags=_FLAGS)
                self._held -= size
                self._count(size)
            if self._at_end:
                self._target.shutdown(socket.SHUT_WR)
                self.ended = True
                self._tell(False)
        except BlockingIOError:
            return
        except OSError:
            self._tell(True)
