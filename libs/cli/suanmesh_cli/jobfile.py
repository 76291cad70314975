"""Job files: YAML under the contract's own field names, with sizes and durations as people write them.

Every mistake is named with file, line and field, before anything is sent.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.scheduler.v1.job_pb2 import Artefact, Job
from suanmesh_cli import units
from suanmesh_kernel.refusals import InvalidArgument

FILE_BYTES_MAX = 64 * 1024
ARTEFACT_BYTES_MAX = 5 * 1024
SET_BY_SERVICE = frozenset(
    {"party", "state", "state_reason", "history", "decision", "placement", "output_datasets", "trace_id"}
    | {"attempt", "refused_by", "cancel_requested", "create_time", "end_time", "etag"}
)
UNITS_BY_SUFFIX = {
    "_bytes": units.BYTES,
    "_bps": units.RATES,
    "_s": units.SECONDS,
    "_us": units.MICROSECONDS,
    "_milli": {"m": 1, "cores": 1000, "core": 1000},
}


def load(path: Path) -> Job:
    """The job that the file at `path` describes; files it names are read relative to it.

    Raises InvalidArgument (`FIELD_INVALID`) with file, line and field.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidArgument("FIELD_INVALID", f"{path}: {error.strerror}", field=str(path)) from error
    if len(content) > FILE_BYTES_MAX:
        raise InvalidArgument("FIELD_INVALID", f"{path}: larger than {FILE_BYTES_MAX} bytes", field=str(path))
    return _Reader(path).job(content)


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def job(self, content: bytes) -> Job:
        job = Job()
        self._fill(job, self._root(content), "")
        total = sum(len(artefact.content) for variant in job.package.variants for artefact in variant.artefacts)
        if total > ARTEFACT_BYTES_MAX:
            problem = (
                f"{total} bytes of artefacts, at most {ARTEFACT_BYTES_MAX}; larger code travels as an input dataset"
            )
            raise InvalidArgument("FIELD_INVALID", f"{self._path}: package: {problem}", field="package")
        return job

    def _root(self, content: bytes) -> yaml.Node:
        try:
            for event in yaml.parse(content, Loader=yaml.SafeLoader):
                if isinstance(event, yaml.AliasEvent):
                    raise self._wrong(event, "*" + str(event.anchor), "aliases are not understood here")
            root = yaml.compose(content, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            problem = f"{error.problem or error.context}"
            raise InvalidArgument(
                "FIELD_INVALID", f"{self._path}:{line}: not YAML: {problem}", field="", line=line
            ) from error
        except (yaml.YAMLError, RecursionError) as error:
            raise InvalidArgument("FIELD_INVALID", f"{self._path}: not YAML: {error}", field="") from error
        if not isinstance(root, yaml.MappingNode):
            raise InvalidArgument("FIELD_INVALID", f"{self._path}:1: not a mapping of a job's fields", field="")
        return root

    def _fill(self, message: Message, node: yaml.Node, field: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, field, "a mapping is expected")
        fields: dict[str, FieldDescriptor] = dict(message.DESCRIPTOR.fields_by_name)  # type: ignore[arg-type]
        allowed = [name for name in fields if field or name not in SET_BY_SERVICE]
        seen: set[str] = set()
        for key_node, value in node.value:
            key = str(key_node.value)
            at = f"{field}.{key}" if field else key
            if key in seen:
                raise self._wrong(key_node, at, "given twice")
            seen.add(key)
            if isinstance(message, Artefact) and key == "file":
                message.content = self._file(value, at)
            elif not field and key in SET_BY_SERVICE:
                raise self._wrong(key_node, at, "is set by the service")
            elif key not in fields:
                raise self._wrong(key_node, at, f"no such field{_guess(key, allowed)}")
            else:
                self._set(message, fields[key], value, at)

    def _set(self, message: Message, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> None:
        if descriptor.is_repeated:
            if not isinstance(node, yaml.SequenceNode):
                raise self._wrong(node, at, "a list is expected")
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

    def _append(self, target: Any, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> None:
        if descriptor.message_type is None:
            target.append(self._scalar(descriptor, node, at))
        else:
            self._fill(target.add(), node, at)

    def _scalar(self, descriptor: FieldDescriptor, node: yaml.Node, at: str) -> object:
        if not isinstance(node, yaml.ScalarNode):
            raise self._wrong(node, at, "a single value is expected")
        text = str(node.value)
        kind = descriptor.type
        if kind == FieldDescriptor.TYPE_BOOL:
            if node.tag != "tag:yaml.org,2002:bool":
                raise self._wrong(node, at, f"{text[:60]!r} is neither true nor false")
            return text.lower() in ("true", "yes", "on")
        if kind in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64):
            return self._number(descriptor, node, at, text)
        if kind == FieldDescriptor.TYPE_BYTES:
            return text.encode()
        if node.tag == "tag:yaml.org,2002:null":
            raise self._wrong(node, at, "has no value")
        return text

    def _number(self, descriptor: FieldDescriptor, node: yaml.Node, at: str, text: str) -> int:
        value = _whole(text)
        suffix = next((each for each in UNITS_BY_SUFFIX if descriptor.name.endswith(each)), "")
        if value is None and suffix:
            value = units.in_units(text, UNITS_BY_SUFFIX[suffix])
        if value is None:
            example = f" or a number with one of {', '.join(UNITS_BY_SUFFIX[suffix])}" if suffix else ""
            raise self._wrong(node, at, f"{text[:60]!r} is not a whole number{example}")
        if value < 0:
            raise self._wrong(node, at, f"{value} is negative")
        if value >= 2 ** (31 if descriptor.type == FieldDescriptor.TYPE_INT32 else 63):
            raise self._wrong(node, at, f"{value} is too large")
        return value

    def _moment(self, node: yaml.Node, at: str) -> Timestamp:
        stamp = Timestamp()
        text = str(node.value)
        try:
            stamp.FromJsonString(text)
        except ValueError as error:
            problem = f"{text[:60]!r} is not a time like 2026-01-31T12:00:00Z"
            raise self._wrong(node, at, problem) from error
        return stamp

    def _file(self, node: yaml.Node, at: str) -> bytes:
        named = self._path.parent / str(node.value)
        try:
            with named.open("rb") as opened:
                return opened.read(ARTEFACT_BYTES_MAX + 1)
        except OSError as error:
            raise self._wrong(node, at, f"{named}: {error.strerror}") from error

    def _wrong(self, node: Any, field: str, problem: str) -> InvalidArgument:
        line = node.start_mark.line + 1
        return InvalidArgument("FIELD_INVALID", f"{self._path}:{line}: {field}: {problem}", field=field, line=line)


def _whole(text: str) -> int | None:
    try:
        return int(text.replace("_", ""))
    except ValueError:
        return None


def _guess(key: str, fields: list[str]) -> str:
    close = difflib.get_close_matches(key, fields, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(fields)}"
