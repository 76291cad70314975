"""Time that shrinks from hop to hop: what a call may take is never more than its caller has left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

RESERVE_S = 0.02
"""Kept back at each hop, so that a service can still say that its callee was late."""

DEFAULT_S = 10.0
"""What a unary call may take where its caller does not say."""

STREAM_S = 3600.0
"""What a stream may take where its caller does not say; whoever follows longer opens a new one."""

current: ContextVar[float | None] = ContextVar("suanmesh_deadline", default=None)
"""Deadline of the call being served, on the time of the loop; set by the chassis around each handler."""

serving: ContextVar[bool] = ContextVar("suanmesh_serving", default=False)
"""Whether calls are made on behalf of a call being served; set by the chassis beside its deadline."""


on_behalf_of: ContextVar[str] = ContextVar("suanmesh_on_behalf_of", default="")
"""Principal of whoever made the call being served; set by the chassis beside its deadline."""


def now() -> float:
    """Seconds on the time of the loop that runs, which is that of its timers too."""
    return asyncio.get_running_loop().time()


def begin_serving(left_s: float | None, principal: str) -> None:
    """From here on calls are made on behalf of a call of `principal` that has `left_s` seconds left, or no end."""
    current.set(None if left_s is None else now() + left_s)
    serving.set(True)
    on_behalf_of.set(principal)


def deadline(began: float, timeout_s: float | None, default_s: float) -> float:
    """When a call that began at `began` must have ended, on the time of the loop."""
    own = began + (default_s if timeout_s is None else timeout_s)
    inherited = current.get()
    return own if inherited is None else min(own, inherited - RESERVE_S)


def time_left() -> float:
    """Seconds the call being served has left; infinite outside of one."""
    inherited = current.get()
    return float("inf") if inherited is None else inherited - now()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound every call made inside the block by `seconds` from now."""
    mine = now() + seconds
    inherited = current.get()
    token = current.set(mine if inherited is None else min(mine, inherited))
    try:
        yield
    finally:
        current.reset(token)
