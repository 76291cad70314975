"""Printing answers: data on standard output, all else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Columns = Sequence[tuple[str, Callable[[Any], str]]]
PIPED_WIDTH = 500
"""Columns of a line that goes into a pipe: wide enough that nothing is cut or wrapped."""


def show_list(output: str, key: str, items: Sequence[Message], columns: Columns, **extra: object) -> None:
    """Print a list: as a table of `columns`, or as `{key: [...]}` with `extra` beside it."""
    if output == "name":
        for item in items:
            click.echo(getattr(item, "name", ""))
    elif output in ("json", "yaml"):
        show_data(output, {key: [as_data(item) for item in items], **extra})
    else:
        console().print(table(items, columns))


def show_one(output: str, item: Message, rendered: Callable[[], RenderableType], *, zeros: bool = False) -> None:
    """Print one message: as `rendered` makes it readable, or as data, with `zeros` also the fields that are empty."""
    if output == "name":
        click.echo(getattr(item, "name", ""))
    elif output in ("json", "yaml"):
        show_data(output, as_data(item, zeros=zeros))
    else:
        console().print(rendered())


def as_data(item: Message, *, zeros: bool = False) -> dict[str, Any]:
    """Proto3 JSON under the contract's own field names."""
    return MessageToDict(item, preserving_proto_field_name=True, always_print_fields_with_no_presence=zeros)


def show_data(output: str, data: object) -> None:
    """Print plain data."""
    if output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def table(items: Sequence[Any], columns: Columns) -> RenderableType:
    """A table without frames: easy on the eye, and on `awk`."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for title, _ in columns:
        right = title.endswith(("COST", "AMOUNT", "BALANCE", "HELD", "BYTES", "DURATION", "QUANTITY"))
        made.add_column(title, justify="right" if right else "left", no_wrap=True)
    for item in items:
        made.add_row(*(Text(value(item)) for _, value in columns))
    return made


def facts(pairs: Sequence[tuple[str, str]]) -> RenderableType:
    """Names and values, one a line; empty values are left out."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value:
            made.add_row(name, Text(value))
    return made


def console(file: Any = None) -> Console:
    """A console on standard output that neither wraps nor colours what goes into a pipe."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to `main`, as for everything else that is printed, where rich would exit with 1."""
            raise  # noqa: PLE0704 - rich calls this where it handles the BrokenPipeError

    stream = file or sys.stdout
    width = None if stream.isatty() else PIPED_WIDTH
    return Plain(file=stream, width=width, highlight=False, soft_wrap=False)


def note(text: str) -> None:
    """Tell a person something that is no data."""
    click.echo(text, err=True)


def note_more(shown: int) -> None:
    """Tell a person that a list is longer than what is shown of it."""
    note(f"the first {shown} are shown, there are more 只显示前 {shown} 项，其余未显示")
