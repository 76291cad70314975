"""Printing answers: data on standard output, all else on standard error."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any

import click

from suanmesh_cli import terminal
from suanmesh_kernel.texts import UNSHOWABLE, Text

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from suanmesh_cli.layout import Column
    from suanmesh_cli.values import Cell

_LINES = re.compile(r"[^\n]+")
FORMS = ("table", "wide", "json", "yaml", "name", "jsonl", "csv")


@dataclass(frozen=True, slots=True)
class Answer:
    """One thing that is shown: as data, by its name, and as rows under columns."""

    data: Any
    names: Sequence[str]
    rows: Sequence[Any]
    columns: Sequence[Column]


@dataclass(slots=True)
class Several:
    """What verbs with several names have to show, gathered to be printed as one."""

    gathering: bool = False
    shown: bool | None = None
    """Whether something has been shown for people, so that an empty line is due before the next; None of one name."""
    answers: list[Answer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class View:
    """How answers are to be printed: what `-o` and the options beside it say, and what they are printed to."""

    form: str = "table"
    lang: str = "en"
    columns: tuple[str, ...] = ()
    """Titles of the only columns to show, in this order; empty for all."""
    sort: tuple[str, ...] = ()
    """Titles to sort by, the first the most; with `-` before it from the largest down."""
    query: str = ""
    """JMESPath expression over the answer as data."""
    headers: bool = True
    utc: bool = False
    terminal: terminal.Terminal = field(default_factory=terminal.Terminal)
    several: Several = field(default_factory=Several, compare=False)

    @property
    def as_table(self) -> bool:
        """Whether what is shown is rows under columns, also what is else told fact by fact."""
        return not self.query and (self.form == "csv" or (self.for_people and bool(self.columns or self.sort)))

    @property
    def for_people(self) -> bool:
        """Whether it is read rather than parsed."""
        return self.form in ("table", "wide") and not self.query

    @property
    def width(self) -> int | None:
        """Cells of a line; None for lines as long as they are."""
        return None if self.form == "wide" else self.terminal.width

    @property
    def zone(self) -> tzinfo | None:
        """Zone of the times shown; None for this machine's."""
        return UTC if self.utc else None

    def words(self, cell: Cell) -> str:
        """A value as people read it, on one line, safe to print."""
        from suanmesh_cli.values import words

        return self.terminal.shown(words(cell, self.lang, self.zone))

    def bold(self, text: str) -> str:
        """`text`, to stand out where there are colours."""
        return click.style(text, bold=True) if self.terminal.colour else text


def show_list(
    view: View,
    key: str,
    items: Sequence[Any],
    columns: Sequence[Column],
    *,
    footer: Sequence[Cell] | None = None,
    name: Callable[[Any], str] = lambda item: str(getattr(item, "name", "")),
    data: Callable[[Any], dict[str, Any]] | None = None,
    **extra: object,
) -> None:
    """Print a list: as a table of `columns`, or as `{key: [...]}` with `extra` beside it.

    `footer` is a last row of the table, as long as `columns`; `name` is what `-o name` prints of an item,
    `data` what it is as data, where that is not its own JSON. Raises Misuse for a column there is none of.
    """
    from suanmesh_cli import tables

    ordered = tables.ordered(view, items, columns)
    if view.form == "csv" and not view.query:
        print_csv(tables.exported(view, ordered, columns, footer=footer))
    elif view.for_people:
        print_lines(tables.table(view, ordered, columns, footer=footer))
    else:
        rows = [(data or as_data)(item) for item in ordered]
        show_data(view, {key: rows, **extra}, names=[name(item) for item in ordered], each=rows)


def show_one(
    view: View,
    item: Message | dict[str, Any],
    rendered: Callable[[], Iterable[str]],
    columns: Sequence[Column] = (),
    *,
    rows: Sequence[Any] | None = None,
    names: Sequence[str] | None = None,
    zeros: bool = False,
) -> None:
    """Print one message: as `rendered` makes it readable, or as data, with `zeros` also the fields that are empty.

    As a table it is `rows` under `columns`, else the item itself; without columns the fields of its data. `names` are
    what `-o name` prints, else the item's own. Raises Misuse for a column there is none of.
    """
    if view.for_people and not view.as_table:
        set_apart(view)
        print_lines(rendered())
        return
    named = [str(getattr(item, "name", ""))] if names is None else names
    answer = Answer(as_data(item, zeros=zeros), named, [item] if rows is None else rows, columns)
    if view.several.gathering:
        view.several.answers.append(answer)
    else:
        _show_answers(view, [answer], answer.data)


@contextmanager
def one_answer(view: View, names: Sequence[str]) -> Iterator[None]:
    """Print what is shown of several names as one document: a list in JSON and YAML, one head over all rows in CSV."""
    several = view.several
    as_data = not view.for_people and view.form not in ("jsonl", "name")
    several.gathering = len(names) > 1 and (view.as_table or as_data)
    several.shown = False if len(names) > 1 else None
    try:
        yield
    finally:
        answers, several.gathering, several.answers, several.shown = several.answers, False, [], None
        if answers:
            _show_answers(view, answers, [answer.data for answer in answers])


def set_apart(view: View) -> None:
    """Before what is shown of one of several names: an empty line behind what was shown before it."""
    print_lines([""] if view.several.shown else [])
    view.several.shown = view.several.shown is not None


def _show_answers(view: View, answers: Sequence[Answer], data: Any) -> None:
    from suanmesh_cli import tables

    if view.as_table:
        columns = max((answer.columns for answer in answers), key=len)
        rows = [row for answer in answers for row in answer.rows]
        if not columns:
            rows = [tables.flattened(answer.data) for answer in answers]
            columns = tables.fields_of(rows)
        ordered = tables.ordered(view, rows, columns)
        if view.form == "csv":
            print_csv(tables.exported(view, ordered, columns))
        else:
            print_lines(tables.table(view, ordered, columns))
    else:
        show_data(view, data, names=[name for answer in answers for name in answer.names])


def facts(view: View, pairs: Iterable[tuple[str, Cell]]) -> list[str]:
    """Names and values, one a line; empty values are left out."""
    from suanmesh_cli import layout, titles

    told = [(titles.fact(name, view.lang), view.words(value)) for name, value in pairs]
    return layout.facts(((view.terminal.shown(name), value) for name, value in told), view.width, view.bold)


def sentence(view: View, words: Cell) -> list[str]:
    """A sentence, folded where the terminal is narrower."""
    from suanmesh_cli import layout

    told = view.words(words)
    return [told] if view.width is None else layout.folded(told, view.width)


def as_data(item: Any, *, zeros: bool = False) -> dict[str, Any]:
    """Proto3 JSON under the contract's own field names; a row that is data already as it is."""
    if isinstance(item, dict):
        return item
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(item, preserving_proto_field_name=True, always_print_fields_with_no_presence=zeros)


def show_data(view: View, data: Any, *, names: Sequence[str] = (), each: Sequence[Any] | None = None) -> None:
    """Print plain data, or what the query finds in it; `names` for `-o name`, `each` one a line for `-o jsonl`."""
    if view.query:
        found = _queried(view.query, data)
        if view.form == "csv":
            _print_found(view, found)
        elif isinstance(found, str) and view.form not in ("json", "yaml", "jsonl"):
            click.echo(view.terminal.shown(found))
        else:
            _print_data(view, found)
    elif view.form == "name":
        print_lines(terminal.safe(name) for name in names if name)
    elif view.form == "csv":
        _print_found(view, data)
    else:
        _print_data(view, each if view.form == "jsonl" and each is not None else data)


def print_lines(lines: Iterable[str]) -> None:
    """Print text that has been made safe."""
    for line in lines:
        click.echo(line, color=True)  # there are none but those of `View.bold`, which asks the terminal


def print_csv(rows: Iterable[Sequence[str]]) -> None:
    """Print rows after RFC 4180, into files in UTF-8; of control characters line feeds alone stay."""
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerows([_in_csv(cell) for cell in row] for row in rows)
    if sys.stdout.isatty() or terminal.is_unicode(sys.stdout.encoding or "utf-8"):
        click.echo(made.getvalue(), nl=False)
    else:  # a file or a pipe: a stand-in in data is a lie
        sys.stdout.flush()
        sys.stdout.buffer.write(made.getvalue().encode())
        sys.stdout.buffer.flush()


def _in_csv(cell: str) -> str:
    return _LINES.sub(lambda part: terminal.safe(part[0]), cell.replace("\r\n", "\n"))


def _print_found(view: View, found: Any) -> None:
    """What a query has found as CSV: a row for each of a list, the fields of objects under their names."""
    from suanmesh_cli import tables

    items = found if isinstance(found, list) else [] if found is None else [found]
    rows = [tables.flattened(each if isinstance(each, dict) else {"value": each}) for each in items]
    print_csv(tables.exported(view, rows, tables.fields_of(rows)))


def print_log(piece: bytes, log: terminal.LogText, *, final: bool = False) -> None:
    """Print a piece of a log: as it is into a file or a pipe, made safe on a terminal."""
    if sys.stdout.isatty():
        sys.stdout.write(log.text_of(piece, final=final))
        sys.stdout.flush()
    else:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def note(text: str) -> None:
    """Tell a person something that is no data, on one line."""
    warn(terminal.safe(text))


def warn(text: str) -> None:
    """Print lines that have been made safe on standard error, folded where that is a terminal."""
    shown, width = terminal.shown_in(sys.stderr.encoding or "utf-8", text), terminal.width_of(sys.stderr)
    if width is not None:
        from suanmesh_cli import layout

        shown = "\n".join(layout.hanging(shown, width))
    click.echo(shown, err=True)


def note_more(view: View, shown: int) -> None:
    """Tell a person that a list is longer than what is shown of it."""
    note(
        Text(
            f"the first {shown} are shown, there are more: --limit shows more",
            f"只显示前 {shown} 项，其余未显示：可用 --limit 显示更多",
        ).of(view.lang)
    )


def _queried(query: str, data: object) -> Any:
    import jmespath
    from jmespath.exceptions import JMESPathError

    from suanmesh_cli.usage import Misuse

    try:
        return jmespath.search(query, data)
    except JMESPathError as wrong:
        told = str(wrong).splitlines()[0]
        raise Misuse(Text(f"--query: {told}", f"--query 有误：{told}")) from None


def _print_data(view: View, data: Any) -> None:
    if view.form == "yaml":
        import yaml

        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=view.terminal.unicode, explicit_start=True)
        if UNSHOWABLE.search(text.replace("\n", "")):
            text = yaml.safe_dump(data, sort_keys=False, explicit_start=True)
        click.echo(text, nl=False)
    elif view.form == "jsonl":
        for each in data if isinstance(data, list) else [data]:
            click.echo(_json(view, each))
    elif view.form == "name" and isinstance(data, list):
        for each in data:
            click.echo(terminal.safe(each) if isinstance(each, str) else _json(view, each))
    else:
        click.echo(_json(view, data, indent=2))


def _json(view: View, data: object, indent: int | None = None) -> str:
    """JSON whose texts hold nothing that commands a terminal, nor what its encoding lacks."""
    text = json.dumps(data, indent=indent, ensure_ascii=not view.terminal.unicode)
    return "\n".join(UNSHOWABLE.sub(lambda found: json.dumps(found[0])[1:-1], line) for line in text.split("\n"))
