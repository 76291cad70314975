"""What a filter may name of pools, of what they have free, and of their sites; read from messages as cells of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.type.v1.signed_pb2 import Signed
from suanmesh_kernel.filter_fields import Field, FieldKind, Value

COLLECTIONS = {
    "suanmesh.registry.v1.Pool.name": "sites/*/pools",
    "suanmesh.registry.v1.Pool.party": "parties",
    "suanmesh.registry.v1.Offer.name": "sites/*/pools/*/offers",
    "suanmesh.registry.v1.Offer.price_book": "priceBooks",
    "suanmesh.registry.v1.Site.name": "sites",
    "suanmesh.registry.v1.Site.party": "parties",
}
"""Fields that hold names, which a filter may write without their collections."""
_INTEGERS = frozenset({FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT32})


def fields_of(kind: type[Message]) -> dict[str, Field]:
    """Every field of a message that a filter may name, by its path."""
    return dict(_fields(kind.DESCRIPTOR, "", repeated=False))


class Reader:
    """Reads the values of all fields of one kind of message, in the order of `fields_of`."""

    def __init__(self, kind: type[Message]) -> None:
        """Look at the fields once."""
        places = {path: at for at, path in enumerate(fields_of(kind))}
        self._width = len(places)
        self._read = _reads(kind.DESCRIPTOR, "", places)

    def cells(self, message: Message) -> Sequence[Sequence[Value]]:
        """The values: none where a field is absent, several where it repeats."""
        cells: list[list[Value]] = [[] for _ in range(self._width)]
        self._read(message, cells)
        return cells


Read = Callable[[Any, list[list[Value]]], None]
"""Adds the values of a message to the cells."""


def _fields(kind: Any, prefix: str, *, repeated: bool) -> Iterator[tuple[str, Field]]:
    for field in kind.fields:
        path, many = prefix + field.name, repeated or field.is_repeated
        if _is_hidden(field):
            continue
        if _is_inner(field):
            yield from _fields(field.message_type, f"{path}.", repeated=many)
        else:
            yield path, _field(field, many)


def _field(field: Any, repeated: bool) -> Field:
    if field.message_type is not None:
        return Field(FieldKind.TIME, repeated)
    if field.enum_type is not None:
        return Field(FieldKind.CHOICE, repeated, frozenset(choices(field.enum_type.full_name).values()))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return Field(FieldKind.FLAG, repeated)
    if field.cpp_type in _INTEGERS:
        return Field(FieldKind.NUMBER, repeated)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return Field(FieldKind.TEXT, repeated, collection=COLLECTIONS.get(field.full_name, ""))
    raise TypeError(f"no filter reads a field as {field.full_name}")


@lru_cache(maxsize=64)
def choices(enum: str) -> dict[int, str]:
    """The values of an enum as a filter names them: `PHASE_ACTIVE` is `ACTIVE`; the unset one has no name."""
    kind = descriptor_pool.Default().FindEnumTypeByName(enum)
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.number: value.name.removeprefix(prefix) for value in kind.values if value.number}


def _reads(kind: Any, prefix: str, places: dict[str, int]) -> Read:
    """The reading of a message, compiled: what is always there in one step, then each other field by itself."""
    shown = [field for field in kind.fields if not _is_hidden(field)]
    plain = [f for f in shown if _is_plain(f)]
    others = [_read_of(f, prefix, places) for f in shown if not _is_plain(f)]
    take, at = _getter([f.name for f in plain]), [places[prefix + f.name] for f in plain]

    def read(message: Any, cells: list[list[Value]]) -> None:
        for place, value in zip(at, take(message), strict=True):
            cells[place].append(value)
        for other in others:
            other(message, cells)

    return read


def _read_of(field: Any, prefix: str, places: dict[str, int]) -> Read:
    if not _is_inner(field):
        return _values_read(field, places[prefix + field.name])
    name, inner = field.name, _reads(field.message_type, f"{prefix}{field.name}.", places)

    def read_one(message: Any, cells: list[list[Value]]) -> None:
        if message.HasField(name):
            inner(getattr(message, name), cells)

    def read_all(message: Any, cells: list[list[Value]]) -> None:
        for each in getattr(message, name):
            inner(each, cells)

    return read_all if field.is_repeated else read_one


def _values_read(field: Any, place: int) -> Read:
    name, convert = field.name, _conversion(field)

    def read_one(message: Any, cells: list[list[Value]]) -> None:
        if (value := convert(getattr(message, name))) is not None:
            cells[place].append(value)

    def read_if_there(message: Any, cells: list[list[Value]]) -> None:
        if message.HasField(name):
            read_one(message, cells)

    def read_all(message: Any, cells: list[list[Value]]) -> None:
        for each in getattr(message, name):
            if (value := convert(each)) is not None:
                cells[place].append(value)

    if field.is_repeated:
        return read_all
    return read_if_there if field.has_presence else read_one


def _conversion(field: Any) -> Callable[[Any], Value | None]:
    """What makes a value of what the field holds; None where that is as good as absent."""
    if field.message_type is not None:
        return _microseconds
    if field.enum_type is not None:
        return choices(field.enum_type.full_name).get
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return lambda text: text or None
    return int


def _microseconds(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1_000


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return (lambda message: (getattr(message, names[0]),)) if names else lambda message: ()


def _is_hidden(field: Any) -> bool:
    """Whether it says nothing about a pool: bytes, what is signed as a whole, the counter of the document, and facts by
    name, which have no columns.
    """
    inner = field.message_type
    whole = inner is not None and (inner.full_name == Signed.DESCRIPTOR.full_name or inner.GetOptions().map_entry)
    return bool(whole or field.type == FieldDescriptor.TYPE_BYTES or field.name == "etag")


def _is_inner(field: Any) -> bool:
    return field.message_type is not None and field.message_type.full_name != Timestamp.DESCRIPTOR.full_name


def _is_plain(field: Any) -> bool:
    """Whether it always has one value that needs no conversion: a number or a flag without presence."""
    kinds = _INTEGERS | {FieldDescriptor.CPPTYPE_BOOL}
    return field.cpp_type in kinds and not field.is_repeated and not field.has_presence
