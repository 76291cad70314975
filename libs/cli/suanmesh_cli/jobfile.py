"""Job files: YAML under the contract's own field names, with sizes and durations as people write them.

Every mistake is named with file, line and field, before anything is sent.
"""

from __future__ import annotations

import difflib
import os
import select
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.scheduler.v1.job_pb2 import Artefact, Job
from suanmesh_cli import units
from suanmesh_cli.texts import refusal
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_kernel.texts import Text

FILE_BYTES_MAX = 64 * 1024
ARTEFACT_BYTES_MAX = 5 * 1024
SILENCE_S_MAX = 5.0
"""How long a pipe may keep the reader waiting."""
QUOTED_LENGTH_MAX = 60
DEPTH_MAX = 32
"""Lists and mappings within each other; a job's own fields need eight."""
SET_BY_SERVICE = frozenset(
    {"party", "state", "state_reason", "history", "decision", "placement", "output_datasets", "trace_id"}
    | {"attempt", "refused_by", "cancel_requested", "create_time", "end_time", "etag"}
)
SIGNED = frozenset({"priority"})
UNITS_BY_SUFFIX = {
    "_bytes": units.BYTES,
    "_bps": units.RATES,
    "_s": units.SECONDS,
    "_us": units.MICROSECONDS,
    "_milli": {"m": 1, "cores": 1000, "core": 1000},
}


def load(path: Path, *, silence_s_max: float = SILENCE_S_MAX) -> Job:
    """The job that the file at `path` describes; files it names are read relative to it.

    Raises InvalidArgument (`FIELD_INVALID`) with file, line and field.
    """
    try:
        content = _content(path, FILE_BYTES_MAX, silence_s_max)
    except (OSError, ValueError) as error:
        raise _unread(path, error) from error
    if len(content) > FILE_BYTES_MAX:
        large = Text(f"larger than {FILE_BYTES_MAX} bytes", f"超过 {FILE_BYTES_MAX} 字节")
        raise _invalid(str(path), large, field=str(path))
    return _Reader(path).job(content)


def _content(path: Path, bytes_max: int, silence_s_max: float) -> bytes:
    """At most one byte more than `bytes_max`: a device has no end, and a pipe perhaps nobody who writes."""
    content = b""
    with open(path, "rb", buffering=0, opener=_opened) as file:
        while len(content) <= bytes_max:
            if not select.select([file], [], [], silence_s_max)[0]:
                raise TimeoutError(f"nothing came for {silence_s_max:g} s")
            piece = file.read(bytes_max + 1 - len(content))
            if piece == b"":
                break
            content += piece or b""
    return content


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def job(self, content: bytes) -> Job:
        job = Job()
        self._fill(job, self._root(content), "")
        total = sum(len(artefact.content) for variant in job.package.variants for artefact in variant.artefacts)
        if total > ARTEFACT_BYTES_MAX:
            problem = Text(
                f"package: {total} bytes of artefacts, at most {ARTEFACT_BYTES_MAX}; "
                "larger code travels as an input dataset",
                f"package: 工件共 {total} 字节，上限 {ARTEFACT_BYTES_MAX}；更大的代码请作为输入数据集",
            )
            raise _invalid(str(self._path), problem, field="package")
        return job

    def _root(self, content: bytes) -> yaml.MappingNode:
        try:
            self._check_events(content)
            root = yaml.compose(content, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            raise self._no_yaml(f"{error.problem or error.context}", line) from error
        except yaml.reader.ReaderError as error:
            raise self._no_yaml(f"{error.reason} (byte {error.position})") from error
        if not isinstance(root, yaml.MappingNode):
            expected = Text("not a mapping of a job's fields", "不是作业各字段的映射")
            raise _invalid(f"{self._path}:1", expected, field=self._path, line=1)
        return root

    def _check_events(self, content: bytes) -> None:
        documents = depth = 0
        for event in yaml.parse(content, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                alias = Text("aliases are not understood here", "此处不支持别名")
                raise self._wrong(event, "*" + str(event.anchor), alias)
            documents += isinstance(event, yaml.DocumentStartEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH_MAX:  # the parser takes minutes where there is much more
                raise self._no_yaml("nested too deeply", event.start_mark.line + 1 if event.start_mark else 0)
            if documents > 1:
                second = Text("a second document begins; a file holds one job", "出现第二个文档；一个文件只写一个作业")
                raise self._wrong(event, "---", second)

    def _no_yaml(self, problem: str, line: int = 0) -> InvalidArgument:
        text = Text(f"not YAML: {problem}", f"不是合法的 YAML：{problem}")
        where = f"{self._path}:{line}" if line else str(self._path)
        return _invalid(where, text, field=self._path, line=line or "")

    def _fill(self, message: Message, node: yaml.Node, field: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, field, Text("a mapping is expected", "此处应为映射"))
        fields: dict[str, FieldDescriptor] = dict(message.DESCRIPTOR.fields_by_name)  # type: ignore[arg-type]
        allowed = [name for name in fields if field or name not in SET_BY_SERVICE]
        seen: set[str] = set()
        for key_node, value in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._wrong(key_node, field or "?", Text("a key is the name of a field", "键应为字段名"))
            key = str(key_node.value)
            at = f"{field}.{key}" if field else key
            if key in seen:
                raise self._wrong(key_node, at, Text("given twice", "重复出现"))
            seen.add(key)
            if isinstance(message, Artefact) and key == "file":
                message.content, message.executable = self._file(value, at)
            elif not field and key in SET_BY_SERVICE:
                raise self._wrong(key_node, at, Text("is set by the service", "由服务填写"))
            elif key not in fields:
                raise self._wrong(key_node, at, _unknown(key, allowed))
            else:
                self._set(message, fields[key], value, at)

    def _set(self, message: Message, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> None:
        kind = descriptor.message_type
        if kind is not None and kind.GetOptions().map_entry:
            self._map(getattr(message, descriptor.name), kind.fields_by_name["value"], node, at)
        elif descriptor.is_repeated:
            if not isinstance(node, yaml.SequenceNode):
                raise self._wrong(node, at, Text("a list is expected", "此处应为列表"))
            target = getattr(message, descriptor.name)
            for index, item in enumerate(node.value):
                self._append(target, descriptor, item, f"{at}[{index}]")
        elif descriptor.message_type is None:
            setattr(message, descriptor.name, self._scalar(descriptor, node, at))
        elif descriptor.message_type.full_name == Timestamp.DESCRIPTOR.full_name:
            getattr(message, descriptor.name).CopyFrom(self._moment(node, at))
        else:
            inner = getattr(message, descriptor.name)
            inner.SetInParent()
            self._fill(inner, node, at)

    def _map(self, target: Any, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, at, Text("a mapping of names to values is expected", "此处应为名称到值的映射"))
        for key_node, value in node.value:
            key = self._text(key_node, at)
            if key in target:
                raise self._wrong(key_node, f"{at}.{key}", Text("given twice", "重复出现"))
            target[key] = self._scalar(descriptor, value, f"{at}.{key}")

    def _append(self, target: Any, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> None:
        if descriptor.message_type is None:
            target.append(self._scalar(descriptor, node, at))
        else:
            self._fill(target.add(), node, at)

    def _text(self, node: yaml.Node, at: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._wrong(node, at, Text("a single value is expected", "此处应为单个值"))
        text = str(node.value)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise self._wrong(node, at, Text("holds half a character", "含有不完整的字符（孤立代理项）")) from error
        return text

    def _scalar(self, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> object:
        text = self._text(node, at)
        kind = descriptor.type
        if kind == FieldDescriptor.TYPE_BOOL:
            if node.tag != "tag:yaml.org,2002:bool":
                raise self._wrong(node, at, _quoting(text, "is neither true nor false", "既不是 true 也不是 false"))
            return text.lower() in ("true", "yes", "on")
        if kind in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64):
            return self._number(descriptor, node, at, text)
        if kind == FieldDescriptor.TYPE_BYTES:
            return text.encode()
        if kind == FieldDescriptor.TYPE_ENUM:
            return self._choice(descriptor, node, at, text)
        if node.tag == "tag:yaml.org,2002:null":
            raise self._wrong(node, at, Text("has no value", "没有值"))
        return text

    def _number(self, descriptor: FieldDescriptor, node: yaml.Node, at: str, text: str) -> int:
        value = _whole(text)
        suffix = next((each for each in UNITS_BY_SUFFIX if descriptor.name.endswith(each)), "")
        if value is None and suffix:
            value = units.in_units(text, UNITS_BY_SUFFIX[suffix])
        if value is None:
            known = ", ".join(UNITS_BY_SUFFIX.get(suffix, ()))
            english = "is not a whole number" + (f" or a number with one of {known}" if known else "")
            chinese = "不是整数" + (f"，也不是带单位 {known} 的数" if known else "")
            raise self._wrong(node, at, _quoting(text, english, chinese))
        if value < 0 and descriptor.name not in SIGNED:
            raise self._wrong(node, at, _quoting(text, "is negative", "是负数", quotes=False))
        if value >= 2 ** (31 if descriptor.type == FieldDescriptor.TYPE_INT32 else 63):
            raise self._wrong(node, at, _quoting(text, "is too large", "过大", quotes=False))
        return value

    def _choice(self, descriptor: FieldDescriptor, node: yaml.Node, at: str, text: str) -> int:
        """The number of a value that is written without the prefix which all have in common."""
        kind = descriptor.enum_type
        assert kind is not None
        unused = next(value.name for value in kind.values if value.number == 0)
        prefix = unused.removesuffix("UNSPECIFIED")
        known = {value.name.removeprefix(prefix): value.number for value in kind.values if value.number}
        if text not in known:
            names = ", ".join(known)
            raise self._wrong(node, at, _quoting(text, f"is none of {names}", f"不是 {names} 之一"))
        return known[text]

    def _moment(self, node: yaml.Node, at: str) -> Timestamp:
        stamp = Timestamp()
        text = self._text(node, at)
        try:
            stamp.FromJsonString(text)
        except ValueError as error:
            english, chinese = "is not a time like 2026-01-31T12:00:00Z", "不是形如 2026-01-31T12:00:00Z 的时间"
            raise self._wrong(node, at, _quoting(text, english, chinese)) from error
        return stamp

    def _file(self, node: yaml.Node, at: str) -> tuple[bytes, bool]:
        """What a file holds, and whether its owner may execute it."""
        named = self._path.parent / self._text(node, at)
        try:
            return _content(named, ARTEFACT_BYTES_MAX, SILENCE_S_MAX), bool(named.stat().st_mode & stat.S_IXUSR)
        except (OSError, ValueError) as error:
            problem = _problem(error)
            raise self._wrong(node, at, Text(f"{named}: {problem.en}", f"{named}: {problem.zh}")) from error

    def _wrong(self, node: Any, field: str, problem: Text) -> InvalidArgument:
        line = node.start_mark.line + 1
        where = f"{self._path}:{line}: {field}" if field else f"{self._path}:{line}"
        return _invalid(where, problem, field=field, line=line)


def _invalid(where: str, problem: Text, **facts: object) -> InvalidArgument:
    text = Text(f"{where}: {problem.en}", f"{where}: {problem.zh}")
    return refusal(InvalidArgument, "FIELD_INVALID", text, **facts)


def _unread(path: Path, error: OSError | ValueError) -> InvalidArgument:
    return _invalid(str(path), _problem(error), field=str(path))


def _problem(error: OSError | ValueError) -> Text:
    """Why a file cannot be read; a path with a NUL in it is a ValueError."""
    if isinstance(error, TimeoutError):
        return Text(str(error), "等待已久，没有内容")
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return Text(reason, f"无法读取：{reason}")
    return Text("no file can have such a name", "文件不能有这样的名字")


def _quoting(text: str, english: str, chinese: str, *, quotes: bool = True) -> Text:
    shown = repr(text[:QUOTED_LENGTH_MAX]) if quotes else text[:QUOTED_LENGTH_MAX]
    return Text(f"{shown} {english}", f"{shown} {chinese}")


def _whole(text: str) -> int | None:
    try:
        return int(text.replace("_", ""))
    except ValueError:
        return None


def _unknown(key: str, fields: Sequence[str]) -> Text:
    close = difflib.get_close_matches(key, fields, n=1)
    if close:
        return Text(f"no such field; did you mean {close[0]!r}?", f"没有此字段；是否指 {close[0]!r}？")
    known = ", ".join(fields)
    return Text(f"no such field; known: {known}", f"没有此字段；已知字段：{known}")
