"""The messages of a call that has many, as they arrive."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc

from suanmesh_chassis.share import Share
from suanmesh_sdk.read_ahead import ReadAhead


class Arrivals(AsyncIterator[bytes]):
    """Each message counts until the next is asked for, and one that is read `ahead` from when it has come.

    Nothing is set aside for one that has not come: a stream may be silent for days. What may come unasked is bounded by
    how many streams a caller may have.
    """

    def __init__(self, context: Any, share: Share, *, ahead: bool) -> None:
        self._share = share
        self._given = 0
        read = _read(context, share)
        self._ahead = ReadAhead(read) if ahead else None
        self._messages: AsyncIterator[bytes] = self._ahead or read

    async def __anext__(self) -> bytes:
        self._share.release(self._given)
        self._given = 0
        message = await anext(self._messages)
        self._given = counted(self._share, message)
        return message

    def close(self) -> None:
        """Read no more."""
        if self._ahead is not None:
            self._ahead.close()


def counted(share: Share, message: bytes) -> int:
    """For how many bytes it counts: what gRPC's core lets through beyond our bound is refused at once."""
    return min(len(message), share.reading.message_bytes_core)


async def _read(context: Any, share: Share) -> AsyncGenerator[bytes, None]:
    while True:
        message: Any = await context.read()
        if message is grpc.aio.EOF:
            return
        amount = counted(share, message)
        if not share.take(amount):
            await share.wait_for(amount)
        yield message
        del message
