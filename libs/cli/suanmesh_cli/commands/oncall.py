"""`suan top` and `suan support-bundle`: for who is on call, on the machine of the node, whose processes they ask."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from suanmesh_cli import output
from suanmesh_cli.session import Session, command
from suanmesh_cli.usage import Misuse, require_extra
from suanmesh_kernel.texts import Text

DEV = Path("build/dev")
FIRST_S = 1.0
"""Between the two looks that rates are made of, seconds."""
FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=DEV)


@click.command("top")
@FOLDER
@click.option("--once", is_flag=True, help="Show it once and end.")
@command
async def top(session: Session, folder: Path, once: bool) -> int | None:
    """Show who runs and leads, what waits and which sites are heard, of the node in FOLDER, until Ctrl-C."""
    require_extra("server")
    show = Looks(session, folder).show
    if once or not session.view.for_people:
        return await show()
    from suanmesh_cli.watching import watched

    return await watched(session, show)


@click.command("support-bundle")
@FOLDER
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; named by the time without."
)
@click.pass_context
def support_bundle(ctx: click.Context, folder: Path, out: Path | None) -> None:
    """Pack what helps to find out what is wrong with the node in FOLDER; keys and passwords are taken out."""
    require_extra("server")
    from suanmesh_local import support

    try:
        ctx.exit(support.main(folder, out))
    except FileExistsError as fault:
        path = fault.filename
        said = f"{path} is there already, and nothing is written over: name another file by --out."
        raise Misuse(Text(said, f"{path} 已存在，不会被覆盖：请用 --out 指定另一个文件。")) from None


class Looks:
    """One look after another at the processes of a node."""

    def __init__(self, session: Session, folder: Path) -> None:
        self._session = session
        self._folder = folder
        self._before: tuple[float, Any] | None = None

    async def show(self) -> int | None:
        """Print what there is now, with rates since the last look."""
        from suanmesh_cli.render import top as rendering
        from suanmesh_local import top as looking

        if self._before is None:
            self._before = await self._look()
            await asyncio.sleep(FIRST_S)
        (then_s, before), (now_s, now) = self._before, await self._look()
        self._before = (now_s, now)
        found = looking.seen(before, now, now_s - then_s)
        data = found.data()
        output.show_one(self._session.view, data, lambda: rendering.top(self._session.view, found))  # type: ignore[arg-type]
        return None

    async def _look(self) -> tuple[float, Any]:
        from suanmesh_local import scrapes

        try:
            targets = scrapes.targets_in(self._folder)
        except (OSError, ValueError, KeyError) as fault:
            said = Text(f"{self._folder} tells of no processes: {fault}", f"{self._folder} 中没有进程的地址：{fault}")
            raise Misuse(said) from None
        return time.monotonic(), await scrapes.scraped(targets)
