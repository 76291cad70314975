"""Many things that one file declares: a list of mappings, each with the parameters of the command that declares one.

The keys are the command's arguments and options without their dashes, and the values are read as those are:

    links:
    - {name: guiyang-wuhu, from: guiyang, to: wuhu, capacity: 1Gbit/s, latency: 8ms, price: 0.02/GB, owner: backbone}
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from suanmesh_cli.names import Name
from suanmesh_cli.session import full_name
from suanmesh_cli.usage import Misuse, text_of
from suanmesh_cli.yamlfile import YamlFile
from suanmesh_kernel.texts import Text

FILE_BYTES_MAX = 4 * 1024 * 1024
FILE = click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path),
    default=None,
    help="Take many from this YAML file; - is standard input.",
)


def declared(ctx: click.Context, path: Path | None, under: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is `given` by the command line, or by each entry of the list `under` in the file at `path`.

    Raises Misuse where it is neither or both, and InvalidArgument (`FIELD_INVALID`) with file, line and field.
    """
    told = [name for name, value in given.items() if value not in (None, "", ())]
    if (path is None) == (not told) or (path is None and not given["name"]):
        neither = Text("Give either NAME and what it is, or -f FILE.", "请给出 NAME 及其内容，或 -f FILE，二者择一。")
        raise Misuse(neither, ctx)
    if path is None:
        return [dict(given)]
    params = {_key(param): param for param in ctx.command.params if param.name in given}
    return _Entries(ctx, YamlFile(path), params).read(under)


def _key(param: click.Parameter) -> str:
    return max(param.opts, key=len).lstrip("-")


class _Entries:
    def __init__(self, ctx: click.Context, file: YamlFile, params: Mapping[str, click.Parameter]) -> None:
        self._ctx = ctx
        self._file = file
        self._params = params

    def read(self, under: str) -> list[dict[str, Any]]:
        root = self._file.root(self._file.content(FILE_BYTES_MAX))
        found = self._pairs(root, "", (under,)).get(under)
        if not isinstance(found, yaml.SequenceNode) or not found.value:
            one = Text(f"a list of one or more under `{under}:`", f"应为 `{under}:` 之下至少一项的列表")
            raise self._file.wrong(found or root, under, one)
        seen, entries = set[str](), list[dict[str, Any]]()
        for number, node in enumerate(found.value):
            at = f"{under}[{number}]"
            entries.append(self._entry(node, at))
            name = self._full(str(entries[-1]["name"] or ""))
            if not name or name in seen:
                wrong = Text("comes twice", "出现两次") if name else Text("is missing", "缺失")
                raise self._file.wrong(node, f"{at}.name", wrong)
            seen.add(name)
        return entries

    def _full(self, name: str) -> str:
        """A name as it is meant: `links/a` for `a`, where links are declared."""
        kind = self._params["name"].type
        return full_name(kind.collection, name) if name and isinstance(kind, Name) else name

    def _entry(self, node: yaml.Node, at: str) -> dict[str, Any]:
        pairs = self._pairs(node, at, tuple(self._params))
        return {
            str(param.name): self._value(param, pairs.get(key), f"{at}.{key}") for key, param in self._params.items()
        }

    def _pairs(self, node: yaml.Node, at: str, known: tuple[str, ...]) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self._file.wrong(node, at, Text("not a mapping of fields", "不是字段的映射"))
        pairs: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            field = f"{at}.{name}".lstrip(".")
            if name not in known:
                close = ", ".join(difflib.get_close_matches(name, known, n=1)) or ", ".join(known)
                raise self._file.wrong(
                    key, field, Text(f"no such field; there is {close}", f"没有此字段；可用：{close}")
                )
            if name in pairs:
                raise self._file.wrong(key, field, Text("comes twice", "出现两次"))
            pairs[name] = value
        return pairs

    def _value(self, param: click.Parameter, node: yaml.Node | None, at: str) -> Any:
        if node is None:
            return param.get_default(self._ctx) if not param.multiple and param.nargs == 1 else ()
        try:
            if param.multiple or param.nargs != 1:
                return param.type_cast_value(self._ctx, self._texts(node, at))
            return param.type_cast_value(self._ctx, self._text(node, at))
        except click.UsageError as wrong:
            raise self._file.wrong(node, at, text_of(wrong)) from wrong

    def _texts(self, node: yaml.Node, at: str) -> list[str]:
        """A list, or a mapping for what is typed as `KEY=VALUE`."""
        if isinstance(node, yaml.MappingNode):
            pairs = ((self._text(key, at), value) for key, value in node.value)
            return [f"{key}={self._text(value, f'{at}.{key}')}" for key, value in pairs]
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        return [self._text(part, f"{at}[{number}]") for number, part in enumerate(parts)]

    def _text(self, node: yaml.Node, at: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.value == "":
            raise self._file.wrong(node, at, Text("not a value", "不是值"))
        return str(node.value)
