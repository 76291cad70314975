"""Names of this node may be written with the node or without; handlers see them without.

What is a name is told from the contract and the value: every string that begins with `//`, but free text and maps.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from suanmesh_chassis.bounds import OURS, limits
from suanmesh_kernel.names import ABROAD, ResourceName
from suanmesh_kernel.refusals import NotFound
from suanmesh_sdk.status import MESH_DOMAIN

SEARCHED_BYTES_MAX = 16 * 1024
_MARK = ABROAD.encode()


def may_name_a_node(raw: bytes, message: Message) -> bool:
    """Whether a message, also as it came, is worth a look: far most are not, which one search through bytes tells.

    A large one of a kind that has few places for names always is: to search through it would take longer.
    """
    return (len(raw) > SEARCHED_BYTES_MAX and _has_few_names(message.DESCRIPTOR)) or _MARK in raw


@cache
def _has_few_names(kind: Descriptor) -> bool:
    return not any(field.is_repeated or not _has_few_names(field.message_type) for field in _nested(kind))


@cache
def _nested(kind: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields of `kind` whose messages may hold names."""
    return tuple(field for field in kind.fields if _is_ours(field) and _holds_names(field.message_type))


@cache
def _holds_names(kind: Descriptor) -> bool:
    texts = (field for field in kind.fields if field.type == FieldDescriptor.TYPE_STRING)
    return any(not limits(field).free_text for field in texts) or bool(_nested(kind))


def _is_ours(field: FieldDescriptor) -> bool:
    kind = field.message_type
    return kind is not None and kind.full_name.startswith(OURS) and not kind.GetOptions().map_entry


def localize(message: Message, node: str, *, within: str = "") -> None:
    """Take `//{node}/` off every name in `message`, in place.

    Raises NotFound (`NODE_UNKNOWN`) for a name of another node, InvalidArgument (`FIELD_INVALID`) for a malformed one.
    """
    for field, value in message.ListFields():
        place = f"{within}{field.name}"
        if field.type == FieldDescriptor.TYPE_STRING and not limits(field).free_text:
            _localize_text(message, field, value, node, place)
        elif field in _nested(message.DESCRIPTOR):
            if not field.is_repeated:
                localize(value, node, within=f"{place}.")
            else:
                for index, each in enumerate(value):
                    localize(each, node, within=f"{place}[{index}].")


def _localize_text(message: Message, field: FieldDescriptor, value: Any, node: str, place: str) -> None:
    if not field.is_repeated:
        if value.startswith(ABROAD):
            setattr(message, field.name, _local(value, node, place))
        return
    for index, text in enumerate(value):
        if text.startswith(ABROAD):
            value[index] = _local(text, node, f"{place}[{index}]")


def _local(text: str, node: str, place: str) -> str:
    name = ResourceName.parse(text, field=place).seen_from(node)
    if name.node:
        message = f"{place}: {text[:200]} belongs to node {name.node}, which {node} knows nothing of"
        raise NotFound("NODE_UNKNOWN", message, domain=MESH_DOMAIN, node=name.node, field=place)
    return name.path
