"""What every command shares: its options, its connection, its way to fail."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from suanmesh_cli import config, errors, output
from suanmesh_cli.usage import Seconds, language
from suanmesh_kernel.names import ABROAD
from suanmesh_kernel.refusals import Refusal

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

FORMATS = ("table", "json", "yaml", "name")
ITEMS_MAX = 10_000
"""Most items a list shows."""


@dataclass(frozen=True, slots=True)
class Session:
    """One invocation of `suan`."""

    environment: Mapping[str, str]
    output: str
    context_name: str
    lang: str
    timeout_s: float

    @property
    def context(self) -> config.Context:
        """The context to use. Raises FailedPrecondition where there is none."""
        return config.chosen(
            config.load(config.files(self.environment, Path.cwd())), self.environment, self.context_name
        )

    def mesh(self) -> Mesh:
        """The mesh the context names."""
        from suanmesh_sdk import Tls, connect

        context = self.context
        tls = Tls(context.ca, context.cert or None, context.key or None)
        return connect(context.gateway, tls=tls, node=context.node)


def command(run: Callable[..., Awaitable[int | None]]) -> Callable[..., None]:
    """An async function `(session, ...)` as a command with the shared options; it may return an exit status."""

    @click.option("-o", "--output", type=click.Choice(FORMATS), default="table", help="How to print the answer.")
    @click.option("--context", "context_name", default="", metavar="NAME", help="Context to use, see `suan ctx`.")
    @click.option("--lang", type=click.Choice(("en", "zh")), default=None, help="Language of texts; by locale.")
    @click.option(
        "--timeout", "timeout_s", type=Seconds(), default=10.0, show_default=True, help="Seconds a call may take."
    )
    @functools.wraps(run)
    def wrapped(output: str, context_name: str, lang: str | None, timeout_s: float, **given: Any) -> None:
        ctx = click.get_current_context()
        environment = ctx.find_root().obj or {}
        session = Session(environment, output, context_name, language(environment, lang or ""), timeout_s)
        try:
            status = asyncio.run(_awaited(run(session, **given)))
        except Refusal as refusal:
            click.echo(errors.described(refusal, session.lang), err=True)
            status = errors.exit_status(refusal)
        ctx.exit(status or 0)

    return wrapped


async def _awaited(running: Awaitable[int | None]) -> int | None:
    return await running


async def pages(call: Callable[..., Any], request: Any, field: str, timeout_s: float) -> AsyncIterator[Any]:
    """Every item of a paged list, page by page, up to ITEMS_MAX; where there are more, a note says so."""
    request.page_size = 1000
    shown = 0
    while True:
        answer = await call(request, timeout=timeout_s)
        for item in getattr(answer, field):
            yield item
        shown += len(getattr(answer, field))
        if not answer.next_page_token:
            return
        if shown >= ITEMS_MAX:
            output.note_more(shown)
            return
        request.page_token = answer.next_page_token


async def listed(call: Callable[..., Any], request: Any, field: str, timeout_s: float) -> list[Any]:
    """`pages` as a list."""
    return [item async for item in pages(call, request, field, timeout_s)]


def full_name(collection: str, given: str) -> str:
    """`jobs/x` for `x` and for `jobs/x`: people type the short form. What begins with `//<node>/` stays as it is."""
    return given if given.startswith((ABROAD, f"{collection}/")) else f"{collection}/{given}"
