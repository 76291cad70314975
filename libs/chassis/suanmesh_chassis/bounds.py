"""Bounds of messages: what each field declares (type.v1.bounds), compiled once for a type, checked on every message.

A parsed message says nothing of its size: one of 4 MiB may hold a million items or one name of 4 MiB, and whatever is
kept, logged or indexed of it grows with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from suanmesh.type.v1 import bounds_pb2
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_kernel.texts import first_unshowable

OURS = "suanmesh."
_ZERO = re.compile("\0")


class UnboundedField(Exception):
    """A field declares no bound, or a message can hold itself: a defect found before anything is served."""


class Breach(NamedTuple):
    """The first place in a message that breaks its bound."""

    place: str
    problem: str
    facts: dict[str, str]


class Limits(NamedTuple):
    """What one field declares; 0 where it declares nothing."""

    max_bytes: int
    max_items: int
    free_text: bool


Check = Callable[[Any], Breach | None]
"""Looks at one value; the breach's place is relative to it: empty, `[3]` or `.record.key_id`."""


class Checker:
    """Finds what breaks a bound in messages of one type."""

    __slots__ = ("_fields",)

    def __init__(self, fields: tuple[tuple[str, bool, Check], ...]) -> None:
        self._fields = fields

    def breach(self, message: Message) -> Breach | None:
        """The first breach in `message`, in the order of its fields."""
        for name, optional, check in self._fields:
            if optional and not message.HasField(name):
                continue
            found = check(getattr(message, name))
            if found is not None:
                return found._replace(place=f".{name}{found.place}")
        return None


def require_within(message: Message, *, field: str = "") -> None:
    """Drop what `message` holds beyond its contract, and refuse it where a field breaks its bound.

    `field` says where the message itself came from. Raises InvalidArgument (`FIELD_INVALID`).
    """
    message.DiscardUnknownFields()
    found = checker(message.DESCRIPTOR).breach(message)
    if found is not None:
        raise _refusal_of(found, field)  # kept by no name here: it holds this frame, and with it the message


def _refusal_of(found: Breach, field: str) -> InvalidArgument:
    place = f"{field}{found.place}".removeprefix(".")
    refusal = InvalidArgument("FIELD_INVALID", f"{place}: {found.problem}", field=place)
    refusal.facts |= found.facts
    return refusal


@cache
def checker(kind: Descriptor) -> Checker:
    """The checker of messages of `kind`. Raises UnboundedField where its contract leaves something open."""
    return _compiled(kind, ())


def limits(field: FieldDescriptor) -> Limits:
    """What `field` declares."""
    options = field.GetOptions()
    extensions = options.Extensions
    return Limits(extensions[bounds_pb2.max_bytes], extensions[bounds_pb2.max_items], extensions[bounds_pb2.free_text])


def unbounded(kind: Descriptor) -> Iterator[str]:
    """The fields of `kind` that lack a bound they need, by name."""
    for field in kind.fields:
        declared = limits(field)
        if (_is_list(field) and not declared.max_items) or (_needs_bytes(field) and not declared.max_bytes):
            yield field.name


def _compiled(kind: Descriptor, within: tuple[str, ...]) -> Checker:
    if not kind.full_name.startswith(OURS):
        return Checker(())
    if kind.full_name in within:
        raise UnboundedField(f"{kind.full_name} can hold itself, to any depth")
    open_fields = ", ".join(unbounded(kind))
    if open_fields:
        raise UnboundedField(f"{kind.full_name} declares no bound for {open_fields}")
    deeper = (*within, kind.full_name)
    checks = ((field, _check_of(field, deeper)) for field in kind.fields)
    return Checker(tuple((field.name, bool(field.has_presence), check) for field, check in checks if check is not None))


def _check_of(field: FieldDescriptor, within: tuple[str, ...]) -> Check | None:
    """The check of one field; None where nothing in it can be too large."""
    declared = limits(field)
    if sides := _sides(field):
        return _map(declared, *(_one(side, declared, within) for side in sides))
    each = _one(field, declared, within)
    return _list(declared.max_items, each) if _is_list(field) else each


def _one(field: FieldDescriptor, declared: Limits, within: tuple[str, ...]) -> Check | None:
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text(declared.max_bytes, free=declared.free_text)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes(declared.max_bytes)
    if field.message_type is None:
        return None
    inner = _compiled(field.message_type, within)
    if declared.max_bytes:
        return _sized(declared.max_bytes, inner)
    return inner.breach if inner._fields else None


def _text(most: int, *, free: bool) -> Check:
    forbidden = _ZERO.search if free else first_unshowable

    def check(value: str) -> Breach | None:
        if len(value) > most or (not value.isascii() and len(value.encode()) > most):
            return _too_long(len(value.encode()), most)
        if not (value.isascii() and value.isprintable()) and (found := forbidden(value)):
            what = f"holds the control or invisible character U+{ord(found[0]):04X}"
            return Breach("", what, {"position": str(found.start())})
        return None

    return check


def _bytes(most: int) -> Check:
    def check(value: bytes) -> Breach | None:
        return _too_long(len(value), most) if len(value) > most else None

    return check


def _sized(most: int, inner: Checker) -> Check:
    def check(value: Message) -> Breach | None:
        size = value.ByteSize()
        return _too_long(size, most) if size > most else inner.breach(value)

    return check


def _list(most: int, each: Check | None) -> Check:
    def check(values: Any) -> Breach | None:
        if len(values) > most:
            return _too_many(len(values), most)
        if each is not None:
            for index, value in enumerate(values):
                found = each(value)
                if found is not None:
                    return found._replace(place=f"[{index}]{found.place}")
        return None

    return check


def _map(declared: Limits, key: Check | None, value: Check | None) -> Check:
    def check(values: Any) -> Breach | None:
        if len(values) > declared.max_items:
            return _too_many(len(values), declared.max_items)
        for index, each in enumerate(values):
            found = (key and key(each)) or (value and value(values[each]))
            if found:
                return found._replace(place=f"[{index}]{found.place}")
        return None

    return check


def _too_long(size: int, most: int) -> Breach:
    return Breach("", f"has {size} bytes, at most {most} are allowed", {"bytes": str(size), "max_bytes": str(most)})


def _too_many(count: int, most: int) -> Breach:
    return Breach("", f"has {count} items, at most {most} are allowed", {"items": str(count), "max_items": str(most)})


def _needs_bytes(field: FieldDescriptor) -> bool:
    """Whether it holds text, bytes, or another's message, whose fields declare nothing."""
    if sides := _sides(field):
        return any(_needs_bytes(side) for side in sides)
    if field.message_type is not None:
        return not field.message_type.full_name.startswith(OURS) and bool(_texts(field.message_type))
    return field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def _texts(kind: Descriptor) -> list[str]:
    texts = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
    return [field.name for field in kind.fields if field.type in texts or _is_list(field)]


def _is_list(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated)


def _sides(field: FieldDescriptor) -> Sequence[FieldDescriptor]:
    """Key and value of a map; nothing where the field is none."""
    kind = field.message_type
    return tuple(kind.fields) if kind is not None and kind.GetOptions().map_entry else ()
