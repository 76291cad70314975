"""A found pool as a row that a filter reads: real field names of `Pool`, and `free.*`, `site.*` beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.type.v1 import capacity_pb2
from suanmesh_registry.domain.filters import Field, FieldKind, Row, Value
from suanmesh_registry.wire import moment

_NUMBERS = frozenset(
    {
        FieldDescriptor.CPPTYPE_INT32,
        FieldDescriptor.CPPTYPE_INT64,
        FieldDescriptor.CPPTYPE_UINT32,
        FieldDescriptor.CPPTYPE_UINT64,
    }
)
_HIDDEN = frozenset({"signed_descriptor", "etag"})
"""What says nothing about a pool: its signed bytes, and the counter of its document."""


@dataclass(frozen=True, slots=True)
class Found:
    """A pool with what is known of it right now."""

    pool: pool_pb2.Pool
    site: site_pb2.Site
    state: pool_pb2.PoolState | None


@lru_cache(maxsize=1)
def fields() -> dict[str, Field]:
    """Every field a filter may name."""
    roots = (("", pool_pb2.Pool), ("free.", capacity_pb2.Capacity), ("site.", site_pb2.Site))
    return {path: field for prefix, kind in roots for path, field in _fields(kind.DESCRIPTOR, prefix, repeated=False)}


def row(found: Found) -> Row:
    """The values a filter finds at a path."""

    def values(path: str) -> tuple[Value, ...]:
        root, names = _route(path)
        message: Message | None = found.pool
        if root == "site":
            message = found.site
        elif root == "free":
            message = found.state.free if found.state is not None and found.state.HasField("free") else None
        return () if message is None else tuple(_values(message, names))

    return values


@lru_cache(maxsize=1024)
def _route(path: str) -> tuple[str, tuple[str, ...]]:
    names = tuple(path.split("."))
    return (names[0], names[1:]) if names[0] in ("site", "free") else ("", names)


def _fields(kind: Descriptor, prefix: str, *, repeated: bool) -> Iterator[tuple[str, Field]]:
    for field in kind.fields:
        path, many = prefix + field.name, repeated or field.is_repeated
        if field.name in _HIDDEN or field.type == FieldDescriptor.TYPE_BYTES:
            continue
        if field.message_type is not None and field.message_type.full_name != Timestamp.DESCRIPTOR.full_name:
            yield from _fields(field.message_type, f"{path}.", repeated=many)
        else:
            yield path, _field(field, many)


def _field(field: FieldDescriptor, repeated: bool) -> Field:
    if field.message_type is not None:
        return Field(FieldKind.TIME, repeated)
    if field.enum_type is not None:
        return Field(FieldKind.CHOICE, repeated, frozenset(_choices(field.enum_type.full_name).values()))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return Field(FieldKind.FLAG, repeated)
    return Field(FieldKind.NUMBER if field.cpp_type in _NUMBERS else FieldKind.TEXT, repeated)


@lru_cache(maxsize=64)
def _choices(enum: str) -> dict[int, str]:
    """The values of an enum as a filter names them: `PHASE_ACTIVE` is `ACTIVE`; the unset one has no name."""
    kind = descriptor_pool.Default().FindEnumTypeByName(enum)
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.number: value.name.removeprefix(prefix) for value in kind.values if value.number}


def _values(message: Message, names: tuple[str, ...]) -> Iterable[Value]:
    field = message.DESCRIPTOR.fields_by_name[names[0]]
    if not field.is_repeated and field.has_presence and not message.HasField(field.name):
        return
    held = getattr(message, field.name)
    for value in held if field.is_repeated else (held,):
        if len(names) > 1:
            yield from _values(value, names[1:])
        elif field.message_type is not None:
            yield moment(value)
        elif field.enum_type is not None:
            if name := _choices(field.enum_type.full_name).get(value):
                yield name
        elif value != "":
            yield value
