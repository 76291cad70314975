"""The reference of the command line, from the commands themselves: what they do, take and print."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import NamedTuple

import click

from suanmesh_cli.helping import HELP_OPTION, TEXTS
from suanmesh_cli.main import COMMANDS, EPILOG, suan
from suanmesh_cli.titles import CHINESE
from suanmesh_kernel.texts import Text

PAGES = {"en": "docs/reference/commands.md", "zh": "docs/reference/commands.zh-CN.md"}
CHINESE_TEXTS = "docs/commands.zh-CN.txt"
"""Every English text of a command or an option, and below it the Chinese one."""
PACKAGE = "suanmesh_cli"
_SHARED_FROM = ("job list",)
"""A command that has all options that are told of once for all."""
_TITLE = Text("# Commands", "# 命令参考")
_OTHER = {"en": "[中文](commands.zh-CN.md)", "zh": "[English](commands.md)"}
_INTRO = Text(
    "Every verb with its arguments, options and columns; [the command line](../how-to/command-line.md) shows them at "
    "work. The columns are those of `-o wide` and `-o csv`, which `--columns` and `--sort` take; where a list has more "
    "than one table, those of all.",
    "全部命令及其参数、选项和输出列；用法见[命令行](../how-to/command-line.zh-CN.md)。所列为 `-o wide` 与 `-o csv` "
    "的列，也可用于 `--columns` 和 `--sort`；有多个表时列出全部。",
)
_SHARED = Text("## Options of many commands", "## 通用选项")
_SHARED_SAID = Text(
    "Whatever asks the mesh takes the first six; what shows or lists takes `--watch`, what lists also the others. They "
    "are not repeated below.",
    "凡向网络发问的命令都有前六个；显示或列出内容的命令还有 `--watch`，列表命令另有其余选项。下文不再重复。",
)
_HEADS = {"en": ("option", "what it does"), "zh": ("选项", "作用")}
_COLUMNS = Text("Columns", "列")


class Verb(NamedTuple):
    """One command."""

    words: str
    command: click.Command


def pages(root: Path) -> dict[str, str]:
    """The page in both languages, and what `--help` reads, by path."""
    chinese = read_texts((root / CHINESE_TEXTS).read_text())
    told = json.dumps(chinese, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    made = {path: "\n\n".join(_blocks(lang, chinese)) + "\n" for lang, path in PAGES.items()}
    return made | {f"libs/cli/suanmesh_cli/{TEXTS}": told}


def read_texts(text: str) -> dict[str, str]:
    """Chinese by English: pairs of lines, with an empty line between."""
    pairs = (block.split("\n") for block in text.strip().split("\n\n"))
    return {pair[0]: pair[1] for pair in pairs}


def verbs(group: click.Group = suan, path: tuple[str, ...] = ()) -> Iterator[Verb]:
    """Every command, in the order of `suan --help`."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        found = group.get_command(ctx, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from verbs(found, (*path, name))
        else:
            yield Verb(" ".join((*path, name)), found)


def groups(group: click.Group = suan) -> Iterator[click.Group]:
    """Every group of commands, with those within it."""
    yield group
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        if isinstance(found := group.get_command(ctx, name), click.Group):
            yield from groups(found)


def english_texts() -> Iterator[str]:
    """Every text that has to be there in Chinese."""
    yield _said(EPILOG)
    yield HELP_OPTION
    yield from (line for _, line in COMMANDS.values())
    for group in groups():
        yield _said(group.help or "")
        yield from (_said(option.help or "") for option in _options(group))
    for verb in verbs():
        yield _said(verb.command.help or "")
        yield from (_said(option.help or "") for option in _options(verb.command))


def _said(text: str) -> str:
    return " ".join(text.replace("\b", "").split())


def _options(command: click.Command) -> list[click.Option]:
    return [param for param in command.params if isinstance(param, click.Option)]


def _blocks(lang: str, chinese: dict[str, str]) -> Iterator[str]:
    def of(text: str) -> str:
        return chinese.get(_said(text), _said(text)) if lang == "zh" else _said(text)

    every = {verb.words: verb.command for verb in verbs()}
    shared = {option.name: option for words in _SHARED_FROM for option in _shared(every[words], every)}
    yield from (
        _TITLE.of(lang),
        "<!-- Made by docs/generate.py; edit what it reads, then run `make gen`. -->",
        _OTHER[lang],
        _INTRO.of(lang),
        of(EPILOG),
        _SHARED.of(lang),
        _SHARED_SAID.of(lang),
        _table(lang, [(_written(option), of(option.help or "")) for option in shared.values()]),
    )
    noun = ""
    for words, command in every.items():
        if (first := words.split()[0]) != noun:
            noun = first
            yield f"## {noun}"
        yield f"### suan {words}"
        ctx = click.Context(command, info_name=f"suan {words}")
        yield f"`{' '.join(['suan', words, *command.collect_usage_pieces(ctx)])}`"
        yield of(command.help or "")
        own = [option for option in _options(command) if not _is(option, shared.get(option.name))]
        if own:
            yield _table(lang, [(_written(option), of(option.help or "")) for option in own])
        if titles := columns(command):
            told = (f"{title} {CHINESE[title]}" if lang == "zh" and title in CHINESE else title for title in titles)
            yield f"{_COLUMNS.of(lang)}{'：' if lang == 'zh' else ': '}{('、' if lang == 'zh' else ', ').join(told)}"


def _shared(command: click.Command, every: dict[str, click.Command]) -> Iterator[click.Option]:
    """Options that are the same in most commands that have them."""
    for option in _options(command):
        same = [each for other in every.values() for each in _options(other) if _is(each, option)]
        if len(same) > len(every) // 4:
            yield option


def _is(one: click.Option, other: click.Option | None) -> bool:
    return other is not None and (one.name, one.opts, one.help) == (other.name, other.opts, other.help)


def _written(option: click.Option) -> str:
    names = ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))
    if option.is_flag:
        return names
    ctx = click.Context(suan)
    shown = option.make_metavar(ctx).replace("|", "\\|")
    default = option.default
    told = f" ({default})" if option.show_default and default is not None else ""
    return f"{names} `{shown}`{told}"


def _table(lang: str, rows: list[tuple[str, str]]) -> str:
    lines = [_HEADS[lang], ("---", "---"), *((name, text.replace("|", "\\|")) for name, text in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def columns(command: click.Command) -> list[str]:
    """Titles of the columns that a command can print: of every table its function reaches."""
    function = inspect.unwrap(command.callback) if command.callback else None
    if not isinstance(function, FunctionType):
        return []
    titles: dict[str, None] = {}
    _reach(importlib.import_module(function.__module__), function.__name__, titles, set())
    return list(titles)


def _reach(module: ModuleType, name: str, titles: dict[str, None], seen: set[tuple[str, str]]) -> None:
    if (module.__name__, name) in seen:
        return
    seen.add((module.__name__, name))
    node = _top(module).get(name)
    if node is None:
        return
    local: dict[str, tuple[str, str]] = {}
    for each in ast.walk(node):
        if isinstance(each, ast.ImportFrom) and each.module:
            local |= {alias.asname or alias.name: (each.module, alias.name) for alias in each.names}
    for each in ast.walk(node):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == "Column":
            title = each.args[0]
            if isinstance(title, ast.Constant) and isinstance(title.value, str) and title.value:
                titles.setdefault(title.value)
        elif isinstance(each, ast.Name):
            _follow(module, local, each.id, "", titles, seen)
        elif isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
            _follow(module, local, each.value.id, each.attr, titles, seen)


def _follow(
    module: ModuleType, local: dict[str, tuple[str, str]], name: str, attribute: str,
    titles: dict[str, None], seen: set[tuple[str, str]],
) -> None:  # fmt: skip
    """To where a name of `module` was made, or an attribute of a module that it names."""
    if name in local:
        source, original = local[name]
        if source.startswith(PACKAGE):
            found = importlib.import_module(source)
            if not attribute:
                _reach(found, original, titles, seen)
            elif importlib.util.find_spec(f"{source}.{original}") if hasattr(found, "__path__") else False:
                _reach(importlib.import_module(f"{source}.{original}"), attribute, titles, seen)
        return
    target = getattr(module, name, None)
    if isinstance(target, ModuleType):
        if attribute and target.__name__.startswith(PACKAGE):
            _reach(target, attribute, titles, seen)
    elif name in _top(module):
        _reach(module, name, titles, seen)
    elif (home := _imports(module).get(name)) and home[0].startswith(PACKAGE):
        _reach(importlib.import_module(home[0]), home[1], titles, seen)


@functools.cache
def _imports(module: ModuleType) -> dict[str, tuple[str, str]]:
    tree = ast.parse(inspect.getsource(module))
    return {
        alias.asname or alias.name: (each.module, alias.name)
        for each in tree.body
        if isinstance(each, ast.ImportFrom) and each.module
        for alias in each.names
    }


@functools.cache
def _top(module: ModuleType) -> dict[str, ast.AST]:
    """What a module makes, by name."""
    found: dict[str, ast.AST] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id: node for target in targets if isinstance(target, ast.Name)}
    return found
