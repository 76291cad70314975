"""Filling the fields of a job from YAML, with numbers, names and times as people write them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.scheduler.v1.job_pb2 import Artefact, Variant
from suanmesh_cli import units
from suanmesh_cli.jobforms import SHORT, Wrong
from suanmesh_kernel.texts import Text

QUOTED_LENGTH_MAX = 60
SET_BY_SERVICE = frozenset(
    {"party", "state", "state_reason", "history", "decision", "placement", "output_datasets", "trace_id"}
    | {"attempt", "refused_by", "cancel_requested", "create_time", "end_time", "etag"}
)
SIGNED = frozenset({"priority", "first", "step"})
UNITS_BY_SUFFIX = {
    "_bytes": units.BYTES,
    "_bps": units.RATES,
    "_s": units.SECONDS,
    "_us": units.MICROSECONDS,
    "_milli": {"m": 1, "cores": 1000, "core": 1000},
    "_micros": {},
}
PLAIN_BY_SUFFIX = {"_bytes": 1, "_s": 1, "_milli": 1000, "_micros": 1_000_000}
"""What a number without a unit counts where a field is written without its suffix; of others it needs its unit."""
UNIT_BOUND = frozenset({"max_bytes"})
"""Fields that are written with their suffix only."""
COLLECTIONS = {"account": "accounts", "dataset": "datasets", "deliver_to": "sites", "allow_sites": "sites"}
COLLECTIONS |= {"deny_sites": "sites"}
"""Fields with names of things, which may be written as their last part alone."""
FORMER = {(Variant.DESCRIPTOR.full_name, "engine"): "runtime"}
"""What a field of a message was called before: files that people keep are still taken."""
CHOICES = {"stop": "STOP_ALL", "continue": "KEEP_GOING"}


def short_fields(message: Descriptor) -> dict[str, FieldDescriptor]:
    """The fields of a message that may be written without the unit at their end, by what is written then."""
    found: dict[str, FieldDescriptor] = {}
    for field in message.fields:
        suffix = suffix_of(field)
        short = field.name.removesuffix(suffix)
        if suffix and field.name not in UNIT_BOUND and short not in message.fields_by_name:
            found[short] = field
    if message.full_name == Variant.DESCRIPTOR.full_name:
        found["files"] = message.fields_by_name["artefacts"]
    return found


def suffix_of(field: FieldDescriptor) -> str:
    """The unit at the end of its name; empty for what has none."""
    return next((each for each in UNITS_BY_SUFFIX if field.name.endswith(each)), "")


class Filler:
    """Sets fields, and says what is wrong where it stands."""

    def __init__(self, wrong: Wrong, read_file: Callable[[yaml.Node, str], tuple[bytes, bool]]) -> None:
        """`read_file` says what the file holds that a node names, and whether it is executable."""
        self._wrong = wrong
        self._read_file = read_file

    def fill(self, message: Message, node: yaml.Node, field: str = "") -> None:
        """Set what the mapping at `node` names; `field` is where the message stands. Raises InvalidArgument."""
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, field, Text("a mapping is expected", "此处应为映射"))
        fields: dict[str, FieldDescriptor] = dict(message.DESCRIPTOR.fields_by_name)  # type: ignore[arg-type]
        short = short_fields(message.DESCRIPTOR)  # type: ignore[arg-type]
        allowed = [*(name for name in fields if field or name not in SET_BY_SERVICE), *short, *(() if field else SHORT)]
        seen: set[str] = set()
        for key_node, value in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._wrong(key_node, field or "?", Text("a key is the name of a field", "键应为字段名"))
            key = FORMER.get((message.DESCRIPTOR.full_name, key_node.value), str(key_node.value))
            at = f"{field}.{key}" if field else key
            name = short[key].name if key in short else key
            if name in seen:
                raise self._wrong(key_node, at, Text("given twice", "重复出现"))
            seen.add(name)
            if isinstance(message, Artefact) and key == "file":
                message.content, message.executable = self._read_file(value, at)
            elif not field and key in SET_BY_SERVICE:
                raise self._wrong(key_node, at, Text("is set by the service", "由服务填写"))
            elif key in short and suffix_of(short[key]):
                setattr(message, name, self._short_number(short[key], value, at))
            elif name not in fields:
                raise self._wrong(key_node, at, _unknown(key, allowed))
            else:
                self._set(message, fields[name], value, at)

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
            self.fill(inner, node, at)

    def _map(self, target: Any, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, at, Text("a mapping of names to values is expected", "此处应为名称到值的映射"))
        for key_node, value in node.value:
            key = text_of(key_node, at, self._wrong)
            if key in target:
                raise self._wrong(key_node, f"{at}.{key}", Text("given twice", "重复出现"))
            target[key] = self._scalar(descriptor, value, f"{at}.{key}")

    def _append(self, target: Any, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> None:
        if descriptor.message_type is None:
            target.append(self._scalar(descriptor, node, at))
        elif descriptor.message_type.full_name == Artefact.DESCRIPTOR.full_name and isinstance(node, yaml.ScalarNode):
            content, executable = self._read_file(node, at)
            target.add(path=text_of(node, at, self._wrong), content=content, executable=executable)
        else:
            self.fill(target.add(), node, at)

    def _scalar(self, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> object:
        text = text_of(node, at, self._wrong)
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
        collection = COLLECTIONS.get(descriptor.name)
        return f"{collection}/{text}" if collection and text and "/" not in text else text

    def _short_number(self, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> int:
        """A number of a field that is written without its unit: one of units, or where it is plain of whole ones."""
        text = text_of(node, at, self._wrong)
        suffix = suffix_of(descriptor)
        known = UNITS_BY_SUFFIX[suffix]
        value = units.times(text, PLAIN_BY_SUFFIX[suffix]) if suffix in PLAIN_BY_SUFFIX else None
        value = units.in_units(text, known) if value is None else value
        if value is None:
            english, chinese = _wanted(suffix)
            raise self._wrong(node, at, _quoting(text, english, chinese))
        return self._bounded(descriptor, node, at, text, value)

    def _number(self, descriptor: FieldDescriptor, node: yaml.Node, at: str, text: str) -> int:
        value = _whole(text)
        suffix = suffix_of(descriptor)
        if value is None and suffix:
            value = units.in_units(text, UNITS_BY_SUFFIX[suffix])
        if value is None:
            known = ", ".join(UNITS_BY_SUFFIX.get(suffix, ()))
            english = "is not a whole number" + (f" or a number with one of {known}" if known else "")
            chinese = "不是整数" + (f"，也不是带单位 {known} 的数" if known else "")
            raise self._wrong(node, at, _quoting(text, english, chinese))
        return self._bounded(descriptor, node, at, text, value)

    def _bounded(self, descriptor: FieldDescriptor, node: yaml.Node, at: str, text: str, value: int) -> int:
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
        text = CHOICES.get(text, text)
        if text not in known:
            names = ", ".join(known)
            raise self._wrong(node, at, _quoting(text, f"is none of {names}", f"不是 {names} 之一"))
        return known[text]

    def _moment(self, node: yaml.Node, at: str) -> Timestamp:
        stamp = Timestamp()
        text = text_of(node, at, self._wrong)
        try:
            stamp.FromJsonString(text)
        except ValueError as error:
            english, chinese = "is not a time like 2026-01-31T12:00:00Z", "不是形如 2026-01-31T12:00:00Z 的时间"
            raise self._wrong(node, at, _quoting(text, english, chinese)) from error
        return stamp


def text_of(node: yaml.Node, at: str, wrong: Wrong) -> str:
    """The text of a single value. Raises InvalidArgument where it is none."""
    if not isinstance(node, yaml.ScalarNode):
        raise wrong(node, at, Text("a single value is expected", "此处应为单个值"))
    text = str(node.value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise wrong(node, at, Text("holds half a character", "含有不完整的字符（孤立代理项）")) from error
    return text


def _quoting(text: str, english: str, chinese: str, *, quotes: bool = True) -> Text:
    shown = repr(text[:QUOTED_LENGTH_MAX]) if quotes else text[:QUOTED_LENGTH_MAX]
    return Text(f"{shown} {english}", f"{shown} {chinese}")


def _wanted(suffix: str) -> tuple[str, str]:
    """What a number of a field written without its unit may be."""
    if suffix == "_micros":
        return "is no amount of money with at most six decimals, such as 1.50", "不是最多六位小数的金额，例如 1.50"
    if suffix == "_milli":
        return "is no number of cores such as 1.5 or 500m", "不是形如 1.5 或 500m 的核数"
    known = ", ".join(UNITS_BY_SUFFIX[suffix])
    if suffix in PLAIN_BY_SUFFIX:
        return f"is neither a whole number nor one with {known}", f"既不是整数，也不是带单位 {known} 的数"
    return f"is no number with one of {known}", f"不是带单位 {known} 的数"


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
