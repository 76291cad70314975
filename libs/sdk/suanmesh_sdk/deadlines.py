"""Time that shrinks from hop to hop: what a call may take is never more than its caller has left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

RESERVE_S = 0.02
"""Kept back at each hop, so that a service can still say that its callee was late."""

DEFAULT_S = 10.0
"""What a unary call may take where its caller does not say."""

STREAM_S = 3600.0
"""What a stream may take where its caller does not say; whoever follows longer opens a new one."""


class Served(NamedTuple):
    """The call on whose behalf calls are made, as far as these need to know it."""

    deadline: float | None = None
    """On the time of the loop; None where there is none."""
    principal: str = ""
    """Of whoever made it."""
    by_us: bool = False
    """Whether there is such a call at all."""


NOBODY = Served()
served: ContextVar[Served] = ContextVar("suanmesh_served", default=NOBODY)
"""Set by the chassis around each handler."""


def now() -> float:
    """Seconds on the time of the loop that runs, which is that of its timers too."""
    return asyncio.get_running_loop().time()


def begin_serving(left_s: float | None, principal: str) -> None:
    """From here on calls are made on behalf of a call of `principal` that has `left_s` seconds left, or no end."""
    served.set(Served(None if left_s is None else now() + left_s, principal, True))


def deadline(began: float, timeout_s: float | None, default_s: float, inherited: float | None) -> float:
    """When a call that began at `began` must have ended, on the time of the loop."""
    own = began + (default_s if timeout_s is None else timeout_s)
    return own if inherited is None else min(own, inherited - RESERVE_S)


def time_left() -> float:
    """Seconds the call being served has left; infinite outside of one."""
    inherited = served.get().deadline
    return float("inf") if inherited is None else inherited - now()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound every call made inside the block by `seconds` from now."""
    mine = now() + seconds
    around = served.get()
    token = served.set(around._replace(deadline=mine if around.deadline is None else min(mine, around.deadline)))
    try:
        yield
    finally:
        served.reset(token)
