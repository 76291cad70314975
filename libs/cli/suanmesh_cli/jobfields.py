"""Filling the fields of a job from YAML, with numbers, names and times as people write them."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import yaml
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.scheduler.v1.job_pb2 import Artefact, Job, Variant
from suanmesh_cli import units
from suanmesh_cli.jobforms import NO_VALUE, NULL, SHORT, Wrong
from suanmesh_kernel.texts import Text

QUOTED_LENGTH_MAX = 60
SET_BY_SERVICE = frozenset(
    {"party", "state", "state_reason", "history", "decision", "placement", "output_datasets", "trace_id"}
    | {"log_dataset", "attempt", "refused_by", "cancel_requested", "create_time", "end_time", "etag"}
)
PARTS = ("task", "ask", "constraints", "objective")
"""Fields of a job that have fields of their own, which might be looked for at the top."""
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
BARE_BYTES_MIN = 1 << 20
"""Fewer bytes, written without a unit, are taken for a number whose unit was forgotten."""
UNIT_BOUND = frozenset({"max_bytes"})
"""Fields that are written with their suffix only."""
COLLECTIONS = {"account": "accounts", "dataset": "datasets", "deliver_to": "sites", "allow_sites": "sites"}
COLLECTIONS |= {"deny_sites": "sites"}
"""Fields with names of things, which may be written as their last part alone."""
FORMER = {(Variant.DESCRIPTOR.full_name, "engine"): "runtime"}
"""What a field of a message was called before: files that people keep are still taken."""
CHOICES = {"stop": "STOP_ALL", "continue": "KEEP_GOING"}
EXAMPLES = {
    "Input": "{dataset: digits, mount: in/digits}",
    "Output": "{output_id: model, mount: out}",
    "DeviceAsk": "{class: gpu, count: 1}",
    "MinCapability": "{quantity: sha256_bytes_per_s, value: 1000000}",
    "Artefact": "{path: run.sh, content: 'echo hi'}",
    "Retry": "{times: 3}",
}
"""How a part of a job is written, by its message."""
ELSEWHERE = {
    **dict.fromkeys(("run", "cmd", "script", "entrypoint"), "command"),
    **dict.fromkeys(("gpu", "gpus", "accelerator", "accelerators", "gres"), "devices"),
    **dict.fromkeys(("time", "timeout", "walltime", "time_limit"), "max_duration"),
    **dict.fromkeys(("ntasks", "replicas", "instances", "parallelism", "nodes", "num_nodes"), "count"),
    **dict.fromkeys(("data", "datasets", "mounts", "file_mounts"), "inputs"),
    **dict.fromkeys(("results", "artifacts"), "outputs"),
    **dict.fromkeys(("requirements", "dependencies"), "setup"),
    **dict.fromkeys(("disk", "disk_size", "storage"), "scratch"),
    **dict.fromkeys(("site", "sites"), "allow_sites"),
    **dict.fromkeys(("id", "job_name"), "name"),
    "envs": "env",
    "partition": "queue",
    "tags": "labels",
    "working_dir": "workdir",
    "max_cost": "budget",
}
"""What other systems call fields of a job, and what they are called here."""
_LETTER = re.compile(r"\s*([\d.]+)\s*([kmgt])\s*", re.ASCII | re.IGNORECASE)


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

    def __init__(self, wrong: Wrong, read_file: Callable[[yaml.Node, str], tuple[bytes, bool]], now: datetime) -> None:
        """`read_file` says what the file holds that a node names, and whether it is executable."""
        self._wrong = wrong
        self._read_file = read_file
        self._now = now

    def fill(self, message: Message, node: yaml.Node, field: str = "") -> None:
        """Set what the mapping at `node` names; `field` is where the message stands. Raises InvalidArgument."""
        if not isinstance(node, yaml.MappingNode):
            example = EXAMPLES.get(message.DESCRIPTOR.name)
            such = Text(f", such as {example}", f"，如 {example}") if example else Text("", "")
            raise self._wrong(node, field, Text(f"a mapping is expected{such.en}", f"此处应为映射{such.zh}"))
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
                raise self._wrong(key_node, at, _unknown(key, allowed, within=field))
            else:
                self._set(message, fields[name], value, at)

    def _set(self, message: Message, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> None:
        kind = descriptor.message_type
        if kind is not None and kind.GetOptions().map_entry:
            self._map(getattr(message, descriptor.name), kind.fields_by_name["value"], node, at)
        elif descriptor.is_repeated:
            if not isinstance(node, yaml.SequenceNode):
                raise self._wrong(node, at, _no_list(descriptor, node))
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
        collection = COLLECTIONS.get(descriptor.name)
        return f"{collection}/{text}" if collection and text and "/" not in text else text

    def _short_number(self, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> int:
        """A number of a field that is written without its unit: one of units, or where it is plain of whole ones."""
        text = text_of(node, at, self._wrong)
        suffix = suffix_of(descriptor)
        known = UNITS_BY_SUFFIX[suffix]
        value = units.times(text, PLAIN_BY_SUFFIX[suffix]) if suffix in PLAIN_BY_SUFFIX else None
        if value is not None and suffix == "_bytes" and 0 < value < BARE_BYTES_MIN:
            english = f"is {text} bytes: write the unit that is meant, such as {text}Mi or {text}Gi"
            raise self._wrong(node, at, _quoting(text, english, f"是 {text} 字节：请写明单位，如 {text}Mi 或 {text}Gi"))
        value = self._with_unit(suffix, known, node, at, text) if value is None else value
        if value is None:
            english, chinese = _wanted(suffix)
            meant = _meant(text, suffix)
            raise self._wrong(node, at, _quoting(text, english + meant.en, chinese + meant.zh))
        return self._bounded(descriptor, node, at, text, value)

    def _with_unit(self, suffix: str, known: Mapping[str, int], node: yaml.Node, at: str, text: str) -> int | None:
        """A number with units: bytes are rounded up, what else is no whole number is refused for that."""
        amount = units.amount_in(text, known)
        if amount is None or amount == int(amount) or (suffix == "_bytes" and amount > 1):
            return None if amount is None else math.ceil(amount)
        base = next(iter(known))
        raise self._wrong(node, at, _quoting(text, f"is no whole number of {base}", f"不是整数个 {base}"))

    def _number(self, descriptor: FieldDescriptor, node: yaml.Node, at: str, text: str) -> int:
        value = _whole(text)
        suffix = suffix_of(descriptor)
        if value is None and suffix:
            value = self._with_unit(suffix, UNITS_BY_SUFFIX[suffix], node, at, text)
        if value is None:
            known = ", ".join(UNITS_BY_SUFFIX.get(suffix, ()))
            english = "is not a whole number" + (f" or a number with one of {known}" if known else "")
            chinese = "不是整数" + (f"，也不是带单位 {known} 的数" if known else "")
            meant = _meant(text, suffix)
            raise self._wrong(node, at, _quoting(text, english + meant.en, chinese + meant.zh))
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
        text = CHOICES.get(text.lower(), text)
        if text not in known:
            short = [each for each, name in CHOICES.items() if name in known]
            names = ", ".join((*known, *short))
            raise self._wrong(node, at, _quoting(text, f"is none of {names}", f"不是 {names} 之一"))
        return known[text]

    def _moment(self, node: yaml.Node, at: str) -> Timestamp:
        """A time with its zone, or how long from now; a time without a zone is another for everybody who reads it."""
        stamp = Timestamp()
        text = text_of(node, at, self._wrong)
        seconds = units.in_units(text.removeprefix("+"), units.SECONDS)
        english, chinese = (
            "is not a time like 2026-01-31T12:00:00Z or 2h30m",
            "不是形如 2026-01-31T12:00:00Z 或 2h30m 的时间",
        )
        try:
            moment = self._now + timedelta(seconds=seconds) if seconds is not None else datetime.fromisoformat(text)
            if moment.tzinfo is None:
                english = "names no zone: write Z behind it for UTC, or one such as +08:00"
                chinese = "没有时区：请在其后写 Z（UTC）或时区，如 +08:00"
                raise ValueError(english)
            stamp.FromDatetime(moment)
        except (ValueError, OverflowError) as error:
            raise self._wrong(node, at, _quoting(text, english, chinese)) from error
        return stamp


def text_of(node: yaml.Node, at: str, wrong: Wrong) -> str:
    """The text of a single value. Raises InvalidArgument where it is none, or nothing."""
    if not isinstance(node, yaml.ScalarNode):
        raise wrong(node, at, Text("a single value is expected", "此处应为单个值"))
    if node.tag == NULL:
        raise wrong(node, at, NO_VALUE)
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


def _meant(text: str, suffix: str) -> Text:
    """What a size such as `2G` may mean, which some take for a binary multiple and others for a decimal one."""
    found = _LETTER.fullmatch(text) if suffix == "_bytes" else None
    if found is None:
        return Text("", "")
    number, letter = found[1], found[2].upper()
    binary, decimal = f"{number}{letter}i", f"{number}{'k' if letter == 'K' else letter}B"
    return Text(f"; is {binary} or {decimal} meant?", f"；是指 {binary} 还是 {decimal}？")


def _whole(text: str) -> int | None:
    try:
        return int(text.replace("_", ""))
    except ValueError:
        return None


def _written(part: str) -> set[str]:
    """What may be written in a part of a job, by the part's field."""
    message = Job.DESCRIPTOR.fields_by_name[part].message_type
    return {*message.fields_by_name, *short_fields(message)} if message is not None else set()


def _no_list(descriptor: FieldDescriptor, node: yaml.Node) -> Text:
    """A list is expected, and how one is written."""
    example = EXAMPLES.get(descriptor.message_type.name) if descriptor.message_type is not None else None
    if descriptor.message_type is None and isinstance(node, yaml.ScalarNode):
        example = str(node.value)
    such = Text(f", such as [{example}]", f"，如 [{example}]") if example else Text("", "")
    return Text(f"a list is expected{such.en}", f"此处应为列表{such.zh}")


def _unknown(key: str, fields: Sequence[str], *, within: str) -> Text:
    """What may have been meant by a field that `within` does not have; within nothing, that is the job."""
    parts = [part for part in PARTS if not within and key in _written(part)]
    if parts:
        return Text(f"no such field here; it is one of {parts[0]!r}", f"此处没有此字段；它属于 {parts[0]!r}")
    close = [ELSEWHERE[key]] if not within and key in ELSEWHERE else difflib.get_close_matches(key, fields, n=1)
    if close:
        return Text(f"no such field; did you mean {close[0]!r}?", f"没有此字段；是否指 {close[0]!r}？")
    known = ", ".join(sorted(set(fields)))
    return Text(f"no such field; known: {known}", f"没有此字段；已知字段：{known}")
