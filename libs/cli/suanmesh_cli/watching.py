"""`--watch`: the same answer again whenever it has changed."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from suanmesh_cli.following import Outage
from suanmesh_kernel.refusals import DeadlineExceeded, Unavailable

if TYPE_CHECKING:
    from suanmesh_cli.session import Session

EVERY_S = 2.0
CLEAR = "\x1b[H\x1b[2J\x1b[3J"


async def watched(session: Session, show: Callable[[], Awaitable[int | None]]) -> int:
    """Show it, and again after every change, until it is interrupted.

    On a terminal each answer takes the place of the one before; else one follows the other.
    """
    last, outage = None, Outage(session)
    while True:
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                await show()
            outage.told(None)
            if printed.getvalue() != last:
                last = printed.getvalue()
                _print(session, last)
        except (Unavailable, DeadlineExceeded) as refusal:
            outage.told(refusal)
        await asyncio.sleep(EVERY_S)


def _print(session: Session, text: str) -> None:
    if session.view.terminal.moves:
        click.echo(CLEAR, nl=False, color=True)
    click.echo(text, nl=False, color=session.view.terminal.colour)
