"""Files of YAML that people write for a command: every mistake is named with file, line and field."""

from __future__ import annotations

import os
import select
from pathlib import Path
from typing import Any

import yaml

from suanmesh_cli.texts import refusal
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_kernel.texts import Text

STANDARD_INPUT = Path("-")
SILENCE_S_MAX = 5.0
"""How long a pipe may keep the reader waiting."""
INPUT_SILENCE_S_MAX = 60.0
"""The same of standard input: who writes it may reckon first."""
DEPTH_MAX = 32
"""Lists and mappings within each other; a job's own fields need eight."""


class YamlFile:
    """The file at a path; `-` is standard input."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def content(self, bytes_max: int, silence_s_max: float = SILENCE_S_MAX) -> bytes:
        """What it holds. Raises InvalidArgument (`FIELD_INVALID`) where it cannot be read or holds more."""
        try:
            content = content_of(self.path, bytes_max, silence_s_max)
        except (OSError, ValueError) as error:
            raise invalid(str(self.path), problem_of(error), field=str(self.path)) from error
        if len(content) > bytes_max:
            large = Text(f"larger than {bytes_max} bytes", f"超过 {bytes_max} 字节")
            raise invalid(str(self.path), large, field=str(self.path))
        return content

    def root(self, content: str | bytes) -> yaml.MappingNode:
        """The mapping that `content` is. Raises InvalidArgument (`FIELD_INVALID`) with file and line."""
        try:
            self._check_events(content)
            root = yaml.compose(content, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            raise self._no_yaml(f"{error.problem or error.context}", line) from error
        except yaml.reader.ReaderError as error:
            raise self._no_yaml(f"{error.reason} (byte {error.position})") from error
        if not isinstance(root, yaml.MappingNode):
            raise invalid(f"{self.path}:1", Text("not a mapping of fields", "不是字段的映射"), field=self.path, line=1)
        return root

    def wrong(self, node: Any, field: str, problem: Text) -> InvalidArgument:
        """What to raise about a field, by the node that it is."""
        line = node.start_mark.line + 1
        where = f"{self.path}:{line}: {field}" if field else f"{self.path}:{line}"
        return invalid(where, problem, field=field, line=line)

    def _check_events(self, content: str | bytes) -> None:
        documents = depth = 0
        for event in yaml.parse(content, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                alias = Text("aliases are not understood here", "此处不支持别名")
                raise self.wrong(event, "*" + str(event.anchor), alias)
            documents += isinstance(event, yaml.DocumentStartEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH_MAX:  # the parser takes minutes where there is much more
                raise self._no_yaml("nested too deeply", event.start_mark.line + 1 if event.start_mark else 0)
            if documents > 1:
                second = Text("a second document begins; a file holds one", "出现第二个文档；一个文件只写一个")
                raise self.wrong(event, "---", second)

    def _no_yaml(self, problem: str, line: int = 0) -> InvalidArgument:
        text = Text(f"not YAML: {problem}", f"不是合法的 YAML：{problem}")
        where = f"{self.path}:{line}" if line else str(self.path)
        return invalid(where, text, field=self.path, line=line or "")


def content_of(path: Path, bytes_max: int, silence_s_max: float = SILENCE_S_MAX) -> bytes:
    """At most one byte more than `bytes_max`: a device has no end, and a pipe perhaps nobody who writes."""
    content = b""
    if path == STANDARD_INPUT:
        path, silence_s_max = Path("/dev/stdin"), max(silence_s_max, INPUT_SILENCE_S_MAX)
    with open(path, "rb", buffering=0, opener=_opened) as file:
        while len(content) <= bytes_max:
            if not select.select([file], [], [], silence_s_max)[0]:
                raise TimeoutError(f"nothing came for {silence_s_max:g} s")
            piece = file.read(bytes_max + 1 - len(content))
            if piece == b"":
                break
            content += piece or b""
    return content


def invalid(where: str, problem: Text, **facts: object) -> InvalidArgument:
    """What to raise about a place in a file."""
    text = Text(f"{where}: {problem.en}", f"{where}: {problem.zh}")
    return refusal(InvalidArgument, "FIELD_INVALID", text, **facts)


def problem_of(error: OSError | ValueError) -> Text:
    """Why a file cannot be read; a path with a NUL in it is a ValueError."""
    if isinstance(error, TimeoutError):
        return Text(str(error), "等待已久，没有内容")
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return Text(reason, f"无法读取：{reason}")
    return Text("no file can have such a name", "文件不能有这样的名字")


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
