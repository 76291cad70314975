"""What every command shares: its options, its connection, its way to fail."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from suanmesh_cli import errors, output, terminal
from suanmesh_cli.names import ContextName
from suanmesh_cli.texts import refusal as refused
from suanmesh_cli.usage import Duration, Misuse, language
from suanmesh_client import contexts
from suanmesh_client.reach import Reach
from suanmesh_kernel.clock import SystemClock
from suanmesh_kernel.names import ABROAD
from suanmesh_kernel.refusals import DeadlineExceeded, Refusal
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from suanmesh_sdk import Mesh

Run = Callable[..., Awaitable[int | None]]
Wrapped = Callable[..., None]

ITEMS_MAX = 10_000
"""Most items a list shows where no limit is given."""
PAGE_ITEMS = 1000
CALL_S = 10.0
"""Longest one call may take where no time is given."""
PEOPLE = ("table", "wide", "csv")


@dataclass(frozen=True, slots=True)
class Session:
    """One invocation of `suan`."""

    environment: Mapping[str, str]
    view: output.View
    context_name: str = ""
    bound_s: float | None = None
    """How long the whole command may take; None for as long as it takes."""
    limit: int | None = None
    """Most items of a list; 0 for all there are, None where none was given."""
    reach: Reach = field(default_factory=Reach)
    """How well the mesh is reached, told by what waits."""

    @property
    def lang(self) -> str:
        """`en` or `zh`."""
        return self.view.lang

    @property
    def timeout_s(self) -> float:
        """How long one call may take."""
        return CALL_S if self.bound_s is None else self.bound_s

    @property
    def context(self) -> contexts.Context:
        """The context to use. Raises FailedPrecondition where there is none."""
        return contexts.current(self.environment, self.context_name)

    @property
    def items_max(self) -> int:
        """Most items that are shown of a list."""
        return ITEMS_MAX if self.limit is None else self.limit or sys.maxsize

    def moment(self, text: str) -> Timestamp | None:
        """The moment that `text` stands for in the zone of the times shown; None for an empty one. Raises Misuse."""
        from suanmesh_cli import periods

        return periods.moment(text, SystemClock().now(), self.view.zone)

    def mesh(self) -> Mesh:
        """The mesh the context names."""
        mesh = self.context.mesh()
        self.reach.used = True
        return mesh


def command(run: Run) -> Wrapped:
    """An async function `(session, ...)` as a command that acts, with the options all share; it may return a status."""

    forms = getattr(run, "forms", output.FORMS)

    @click.option("-o", "--output", type=click.Choice(forms), default="table", help="How to print the answer.")
    @click.option("--query", default="", metavar="JMESPATH", help="Print only what this finds in the answer as data.")
    @click.option("--utc", is_flag=True, help="Times in UTC; in this machine's zone without.")
    @click.option(
        "--context",
        "context_name",
        type=ContextName(),
        default="",
        metavar="NAME",
        help="Context to use, see `suan ctx`.",
    )
    @click.option("--lang", type=click.Choice(("en", "zh")), default=None, help="Language of texts; by locale.")
    @click.option(
        "--timeout",
        "bound_s",
        type=Duration(),
        default=None,
        help="Longest the whole command may take, such as 90, 5m or 2h; else 10 s a call, a wait any time.",
    )
    @functools.wraps(run)
    def wrapped(**given: Any) -> None:
        ctx = click.get_current_context()
        ctx.exit(_status(_session(ctx, given), run, given))

    return wrapped


def listing(run: Run) -> Wrapped:
    """An async function as a command that lists: with the options of `reading`, and `--limit`."""

    @click.option("--limit", type=click.IntRange(0), default=None, help="Most to list; 0 for all.")
    @functools.wraps(run)
    def wrapped(*args: Any, **given: Any) -> Awaitable[int | None]:
        return run(*args, **given)

    return reading(wrapped)


def drawn_as(*forms: str) -> Callable[[Run], Run]:
    """Lets what is listed be drawn, too, in forms that the command knows how to make."""

    def marked(run: Run) -> Run:
        run.forms = (*output.FORMS, *forms)  # type: ignore[attr-defined]
        return run

    return marked


def reading(run: Run) -> Wrapped:
    """An async function as a command that shows something: with the options of `command`, `--watch`, and of tables."""

    @click.option("--columns", type=Titles(), default="", metavar="A,B", help="Only these columns, in this order.")
    @click.option("--sort", type=Titles(), default="", metavar="A,-B", help="Sort what is listed; `-` for descending.")
    @click.option("--no-headers", is_flag=True, help="Without the line of titles.")
    @click.option("-w", "--watch", is_flag=True, help="Show it again whenever it has changed, until Ctrl-C.")
    @functools.wraps(run)
    def wrapped(*args: Any, **given: Any) -> Awaitable[int | None]:
        return run(*args, **given)

    return command(wrapped)


class Titles(click.ParamType[tuple[str, ...]]):
    """Titles of columns, separated by commas."""

    name = "titles"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The titles in their order."""
        return value if isinstance(value, tuple) else tuple(each.strip() for each in value.split(",") if each.strip())


async def pages(session: Session, call: Callable[..., Any], request: Any, field: str) -> AsyncIterator[Any]:
    """Every item of a paged list, page by page, up to the session's limit; where there are more, a note says so."""
    most, shown = session.items_max, 0
    while True:
        request.page_size = min(PAGE_ITEMS, most - shown)
        answer = await call(request, timeout=session.timeout_s)
        for item in getattr(answer, field):
            yield item
        shown += len(getattr(answer, field))
        if not answer.next_page_token:
            return
        if shown >= most:
            output.note_more(session.view, shown)
            return
        request.page_token = answer.next_page_token


async def listed(session: Session, call: Callable[..., Any], request: Any, field: str) -> list[Any]:
    """`pages` as a list."""
    return [item async for item in pages(session, call, request, field)]


async def each_of(session: Session, names: tuple[str, ...], act: Callable[[str], Awaitable[int | None]]) -> int:
    """Do the same for each of several names; what is shown of them is one answer, as `output.one_answer` has it.

    One that is refused is told and keeps no other away. The exit status is that of the first that did not go well.
    """
    statuses = []
    with output.one_answer(session.view, names):
        for name in names:
            try:
                statuses.append(await act(name) or 0)
            except Refusal as refusal:
                if len(names) == 1:
                    raise
                statuses.append(await tell(session, refusal))
    return next((status for status in statuses if status), 0)


def full_name(collection: str, given: str) -> str:
    """`jobs/x` for `x` and for `jobs/x`: people type the short form. What begins with `//<node>/` stays as it is."""
    return given if given.startswith((ABROAD, f"{collection}/")) else f"{collection}/{given}"


def _session(ctx: click.Context, given: dict[str, Any]) -> Session:
    """The session that the shared options, which are taken out of `given`, describe."""
    environment = ctx.find_root().obj or {}
    form, lang = given.pop("output"), given.pop("lang")
    columns, no_headers = given.pop("columns", ()), given.pop("no_headers", False)
    if columns and form not in PEOPLE:
        raise Misuse(
            Text(
                "--columns is for -o table, wide and csv; use --query for data.",
                "--columns 用于 -o table、wide 和 csv；数据请用 --query。",
            ),
            ctx,
        )
    chinese = terminal.has_chinese(sys.stdout)
    view = output.View(
        form=form,
        lang=language(environment, lang or "") if chinese else "en",
        columns=columns,
        sort=given.pop("sort", ()),
        query=given.pop("query"),
        headers=not no_headers,
        utc=given.pop("utc"),
        terminal=terminal.found(sys.stdout, environment),
    )
    return Session(environment, view, given.pop("context_name"), given.pop("bound_s"), given.pop("limit", None))


def _status(session: Session, run: Run, given: dict[str, Any]) -> int:
    """Run the command; a refusal is told, and decides the exit status."""
    watch = given.pop("watch", False)
    return asyncio.run(_told(session, run, given, watch=watch)) or 0


async def _told(session: Session, run: Run, given: dict[str, Any], *, watch: bool) -> int | None:
    try:
        return await _bounded(session, run, given, watch=watch)
    except Refusal as refusal:
        return await tell(session, refusal)


async def tell(session: Session, refusal: Refusal) -> int:
    """Say what was refused, and which names there are that are much like one that there is not; its exit status."""
    close: Sequence[str] = []
    if refusal.code == "NOT_FOUND" and refusal.facts.get("name"):
        from suanmesh_cli.names import close_to

        close = await close_to(session, str(refusal.facts["name"]))
    output.warn(errors.described(refusal, session.lang, close=close))
    return errors.exit_status(refusal)


async def _bounded(session: Session, run: Run, given: dict[str, Any], *, watch: bool) -> int | None:
    try:
        async with asyncio.timeout(session.bound_s):
            if watch:
                from suanmesh_cli.watching import watched

                return await watched(session, lambda: run(session, **given))
            return await run(session, **given)
    except TimeoutError:
        over = Text(
            f"not ended after {session.bound_s:g} s; what was begun goes on",
            f"{session.bound_s:g} 秒后仍未结束；已开始的仍在继续",
        )
        raise await _outage(session) or refused(DeadlineExceeded, "STILL_RUNNING", over) from None
    except DeadlineExceeded as late:  # of a call that was given what the command was given
        raise (session.bound_s and await _outage(session)) or late from None


async def _outage(session: Session) -> Refusal | None:
    """What to say in the place of that time is over, where the mesh that the command turned to does not answer."""
    if not session.reach.used:
        return None
    async with session.mesh() as mesh:
        return await session.reach.outage(mesh)
