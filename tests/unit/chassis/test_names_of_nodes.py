"""What belongs to this node may be named with the node or without, wherever a contract has a name."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from suanmesh.gateway.v1.trace_pb2 import Span
from suanmesh.registry.v1.registry_service_pb2 import SearchPoolsRequest, SetPublishersRequest
from suanmesh.scheduler.v1.scheduler_service_pb2 import DESCRIPTOR as SCHEDULER
from suanmesh.transport.v1.transport_service_pb2 import DESCRIPTOR as TRANSPORT
from suanmesh.transport.v1.transport_service_pb2 import CreateTransfersRequest, TransferAsk
from suanmesh_chassis.bounds import OURS, limits
from suanmesh_chassis.localize import localize, may_name_a_node
from suanmesh_kernel.refusals import InvalidArgument, NotFound

REQUESTS = [
    method.input_type
    for file in (SCHEDULER, TRANSPORT)
    for service in file.services_by_name.values()
    for method in service.methods
]


def fill(message: Any, text: str) -> int:
    """Put `text` into every string that may be a name, at any depth; how many that are."""
    count = 0
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.type == FieldDescriptor.TYPE_STRING and not limits(field).free_text and not is_map(field):
            value.append(text) if field.is_repeated else setattr(message, field.name, text)
            count += 1
        elif field.message_type is not None and field.message_type.full_name.startswith(OURS) and not is_map(field):
            count += fill(value.add() if field.is_repeated else value, text)
    return count


def is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.name)
def test_names_with_this_node_are_taken_as_without(kind: Descriptor) -> None:
    """A name copied from another node's answer must work wherever the bare one does."""
    found, expected = GetMessageClass(kind)(), GetMessageClass(kind)()
    if fill(found, "//here/sites/a") and fill(expected, "sites/a"):
        assert may_name_a_node(found.SerializeToString(), found)
    localize(found, "here")
    assert found == expected
    assert not may_name_a_node(found.SerializeToString(), found)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (CreateTransfersRequest(items=[TransferAsk(), TransferAsk(source="//far/sites/a")]), "items[1].source"),
        (SetPublishersRequest(publishers=["sites/a", "//far/sites/b"]), "publishers[1]"),
        (SetPublishersRequest(name="//far/parties/p"), "name"),
    ],
)
def test_another_node_s_thing_is_refused_by_name(message: Any, field: str) -> None:
    """Taken for this node's thing of the same name, data would go to a stranger."""
    with pytest.raises(NotFound) as caught:
        localize(message, "here")
    assert (caught.value.reason, caught.value.domain) == ("NODE_UNKNOWN", "mesh.suanmesh")
    assert caught.value.facts == {"node": "far", "field": field}


def test_a_malformed_name_names_its_place() -> None:
    """The user has to find it among a hundred items."""
    with pytest.raises(InvalidArgument) as caught:
        localize(CreateTransfersRequest(items=[TransferAsk(target="//here")]), "here")
    assert caught.value.facts["field"] == "items[0].target"


def test_free_text_and_maps_hold_no_names() -> None:
    """A filter, a path or a variable that happens to begin with two slashes is not for us to change."""
    texts: list[Any] = [SearchPoolsRequest(filter="//here/x"), Span(attributes={"//here/a": "//far/b"})]
    for text in texts:
        before = type(text).FromString(text.SerializeToString())
        localize(text, "here")
        assert text == before
