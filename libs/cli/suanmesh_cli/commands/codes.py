"""`suan explain`."""

from __future__ import annotations

import difflib
import sys

import click
from click.shell_completion import CompletionItem

from suanmesh_cli.terminal import found, has_chinese
from suanmesh_cli.usage import Misuse, language
from suanmesh_kernel.texts import Text


def _completed(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    from suanmesh_cli.explaining import catalogue

    return [CompletionItem(code) for code in catalogue() if code.startswith(begun.upper())]


@click.command()
@click.argument("codes", nargs=-1, shell_complete=_completed)
@click.option("--lang", type=click.Choice(("en", "zh")), default=None, help="Language of texts; by locale.")
@click.pass_context
def explain(ctx: click.Context, codes: tuple[str, ...], lang: str | None) -> None:
    """Say what CODES such as JOB_UNKNOWN mean, what brings them about and what to do; all codes where none is given.

    It asks nobody: refusals, obstacles and states are those of this version.
    """
    from suanmesh_cli.explaining import catalogue, lines
    from suanmesh_cli.layout import hanging

    known = catalogue()
    told = language(ctx.obj or {}, lang or "") if has_chinese(sys.stdout) else "en"
    for code in codes:
        if code.upper() not in known:
            raise _unknown(code, list(known), ctx)
    said = [line for code in codes for line in lines(code.upper(), known[code.upper()], told)]
    if not codes:
        said = [f"{code}  {meanings[0]['zh' if told == 'zh' else 'en']}" for code, meanings in known.items()]
    width = found(sys.stdout, ctx.obj or {}).width
    for line in said:
        for part in [line] if width is None else hanging(line, width):
            click.echo(part)


def _unknown(code: str, known: list[str], ctx: click.Context) -> Misuse:
    close = difflib.get_close_matches(code.upper(), known, n=1)
    return Misuse(
        Text(
            f"No such code {code[:64]!r}." + (f" Did you mean {close[0]}?" if close else ""),
            f"没有代码 {code[:64]!r}。" + (f"是否指 {close[0]}？" if close else ""),
        ),
        ctx,
    )
