"""`suan top` and `suan support-bundle`: for who is on call. They ask the processes of a node themselves."""

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
@click.option(
    "--targets",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File of Prometheus' file discovery: its processes, as the context's user, in the place of those of FOLDER.",
)
@click.option("--once", is_flag=True, help="Show it once and end, with status 1 where anything is wrong.")
@command
async def top(session: Session, folder: Path, targets: Path | None, once: bool) -> int | None:
    """Show who runs and leads, what waits and which sites are heard, of the node in FOLDER, until Ctrl-C.

    It asks each process for its metrics, not the gateway: on the machine of the node, or from elsewhere where they
    listen beyond the loopback (SUANMESH_METRICS_LISTEN) and --targets says where.
    """
    require_extra("server")
    show = Looks(session, folder, targets).show
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

    def __init__(self, session: Session, folder: Path, targets: Path | None) -> None:
        self._session = session
        self._folder = folder
        self._targets = targets
        self._before: tuple[float, Any] | None = None

    async def show(self) -> int | None:
        """Print what there is now, with rates since the last look."""
        from suanmesh_cli.render import top as rendering
        from suanmesh_local import top as looking
        from suanmesh_local.facts import other_machines

        if self._before is None:
            self._before = await self._look()
            await asyncio.sleep(FIRST_S)
        (then_s, before), (now_s, now) = self._before, await self._look()
        self._before = (now_s, now)
        elsewhere = () if self._targets else other_machines(self._folder)
        found = looking.seen(before, now, now_s - then_s, elsewhere)
        data = found.data()
        output.show_one(self._session.view, data, lambda: rendering.top(self._session.view, found))
        return 0 if found.is_well else 1

    async def _look(self) -> tuple[float, Any]:
        from suanmesh_local import scrapes

        try:
            if self._targets is None:
                asked, tls = scrapes.targets_in(self._folder), scrapes.operators_tls(self._folder)
            else:
                context = self._session.context
                asked = scrapes.targets_of(self._targets)
                tls = scrapes.trusting(Path(context.ca), Path(context.cert), Path(context.key))
        except FileNotFoundError as fault:
            raise Misuse(_not_here(fault)) from None
        except (OSError, ValueError) as fault:
            said = Text(f"what is to be asked cannot be read: {fault}", f"无法读取要询问的进程：{fault}")
            raise Misuse(said) from None
        return time.monotonic(), await scrapes.scraped(asked, tls)


def _not_here(fault: FileNotFoundError) -> Text:
    path = fault.filename
    return Text(
        f"{path} is not there. `suan top` asks the processes of a node themselves: run it on its machine with the "
        "node's folder, or from elsewhere with --targets. The gateway tells `suan site health` and `suan job list`.",
        f"{path} 不存在。`suan top` 直接询问节点的各进程：请在节点所在机器上带节点目录运行，或在他处用 --targets。"
        "经网关可用 `suan site health` 和 `suan job list`。",
    )
