"""Runs one service: settings, leadership, server, tasks, drain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from suanmesh_chassis.parts import House, Parts

S = TypeVar("S")


def run(area: str, settings: type[S], build: Callable[[House[S]], Awaitable[Parts]], *, leads: bool = True) -> None:
    """Run the service of `area` until SIGTERM or SIGINT; exit with a status that tells a supervisor what happened.

    With `leads` the process campaigns first: until it leads, calls are refused with NOT_LEADER and
    `build` is not called.
    """
    raise SystemExit(2)
