"""Names of this node may be written with the node or without; handlers see them without.

What is a name is told from the contract and the value: every string that begins with `//`, but free text and maps.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from suanmesh_chassis.bounds import OURS, limits
from suanmesh_kernel.names import ABROAD, ResourceName
from suanmesh_kernel.refusals import NotFound
from suanmesh_sdk.status import MESH_DOMAIN

_MARK = ABROAD.encode()


def may_name_a_node(raw: bytes) -> bool:
    """Whether a serialized message is worth a look: far most are not, and to find out is one search through bytes."""
    return _MARK in raw


def localize(message: Message, node: str, *, within: str = "") -> None:
    """Take `//{node}/` off every name in `message`, in place.

    Raises NotFound (`NODE_UNKNOWN`) for a name of another node, InvalidArgument (`FIELD_INVALID`) for a malformed one.
    """
    for field, value in message.ListFields():
        place = f"{within}{field.name}"
        if field.type == FieldDescriptor.TYPE_STRING and not limits(field).free_text:
            _localize_text(message, field, value, node, place)
        elif field.message_type is not None and field.message_type.full_name.startswith(OURS):
            if not field.is_repeated:
                localize(value, node, within=f"{place}.")
            elif not field.message_type.GetOptions().map_entry:
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
