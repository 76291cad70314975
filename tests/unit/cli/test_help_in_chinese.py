"""`--help` of every command in Chinese, where that is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from suanmesh_cli.helping import chinese, in_chinese, texts
from suanmesh_cli.main import status_of, suan

WORDS = re.compile(r"[A-Za-z]{3,} [a-z]{2,} [a-z]{2,} [a-z]{2,}")
"""Four English words: names, examples and options are fewer."""


def commands(group: click.Group = suan, path: tuple[str, ...] = ("suan",)) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), group
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        found = group.get_command(ctx, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield " ".join((*path, name)), found


def test_the_help_of_every_command_is_in_chinese() -> None:
    """Somebody who reads no English would have the names of verbs, and guess."""
    with in_chinese():
        shown = {path: click.Context(each, info_name=path).get_help() for path, each in commands()}
    assert len(shown) > 80
    told = {path: WORDS.findall(text) for path, text in shown.items()}
    assert {path: found for path, found in told.items() if found} == {}
    assert [path for path, text in shown.items() if "用法：" not in text] == []


def test_a_line_of_help_is_no_wider_than_the_terminal() -> None:
    """Chinese characters take two cells: a line that counts them as one is broken in its middle."""
    from rich.cells import cell_len

    with in_chinese():
        wide = {
            path: line
            for path, each in commands()
            for line in click.Context(each, info_name=path, terminal_width=80).get_help().splitlines()
            if cell_len(line) > 80 and not re.search(r"[!-~]{30}", line) and "用法" not in line
        }
    assert wide == {}


@pytest.mark.parametrize(("arguments", "language"), [(["--lang", "zh"], "用法："), ([], "Usage:")])
def test_help_is_in_the_language_that_is_asked_for(
    arguments: list[str], language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--lang zh` would change what a command answers, and not what it says of itself."""
    assert status_of([*arguments, "job", "list", "--help"], {"LANG": "C.UTF-8"}) == 0
    assert capsys.readouterr().out.startswith(language)
    assert click.Context.formatter_class is click.HelpFormatter


def test_what_nobody_has_translated_stays_as_it_is() -> None:
    """A plug-in's help would be empty."""
    assert chinese("Nobody said this.") == "Nobody said this."
    assert texts()
