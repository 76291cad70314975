"""Help in Chinese: the English texts of commands and options are what they are known by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import resources

import click
from rich.cells import cell_len

from suanmesh_cli.layout import folded

TEXTS = "help.zh.json"
"""Made by docs/generate.py of docs/commands.zh-CN.txt: Chinese by English."""
HELP_OPTION = "Show this message and exit."
_HEADINGS = {"Options": "选项", "Commands": "命令"}
_EXTRA = "  ["
"""What click puts behind the help of an option begins so."""
_EXTRAS = {"default: ": "默认：", "required": "必填"}
_NAMES_MAX = 30
"""Cells of the column of names; longer ones have a line of their own."""


class ChineseHelp(click.HelpFormatter):
    """Writes the same help in Chinese, folded by the cells that its characters take."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """The line of usage."""
        super().write_usage(prog, args, "用法：")

    def write_heading(self, heading: str) -> None:
        """The head of a section."""
        super().write_heading(_HEADINGS.get(heading, heading))

    def write_text(self, text: str) -> None:
        """A text of the command."""
        for line in folded(chinese(text), max(20, self.width - self.current_indent)):
            self.write(f"{' ' * self.current_indent}{line}\n")

    def brief(self, text: str) -> str:
        """The first sentence of what a command does."""
        first, end, _ = chinese(text).partition("。")
        return first + end

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = _NAMES_MAX, col_spacing: int = 2) -> None:
        """Names with what they do."""
        rows = list(rows)
        left = min(col_max, max((cell_len(name) for name, _ in rows), default=0)) + col_spacing
        indent = " " * self.current_indent
        for name, text in rows:
            lines = folded(_option(text), max(20, self.width - self.current_indent - left))
            if cell_len(name) > left - col_spacing:
                self.write(f"{indent}{name}\n{indent}{' ' * left}{lines[0]}\n")
            else:
                self.write(f"{indent}{name}{' ' * (left - cell_len(name))}{lines[0]}\n")
            for line in lines[1:]:
                self.write(f"{indent}{' ' * left}{line}\n")


def chinese(text: str) -> str:
    """What a text of a command says; itself where nobody has said it in Chinese."""
    said = " ".join(text.replace("\b", "").split())
    return texts().get(said, said)


@cache
def texts() -> Mapping[str, str]:
    """Chinese by English."""
    found: dict[str, str] = json.loads(resources.files("suanmesh_cli").joinpath(TEXTS).read_text("utf-8"))
    return found


@contextmanager
def in_chinese() -> Iterator[None]:
    """Let all help be written so."""
    before = click.Context.formatter_class
    click.Context.formatter_class = ChineseHelp
    try:
        yield
    finally:
        click.Context.formatter_class = before


def _option(text: str) -> str:
    said, extra, more = text.partition(_EXTRA)
    for english, translated in _EXTRAS.items():
        more = more.replace(english, translated)
    return chinese(said) + extra + more
