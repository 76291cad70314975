"""What a message may hold is what its contract declares, to the byte and to the item, wherever the field lies."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from suanmesh.accounting.v1 import usage_pb2
from suanmesh.registry.v1 import pool_pb2
from suanmesh.registry.v1.registry_service_pb2 import GetSiteRequest, RegisterPoolsRequest, SearchPoolsRequest
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.scheduler_service_pb2 import SubmitJob, SubmitJobsRequest
from suanmesh.transport.v1 import transfer_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_chassis.bounds import OURS, checker, limits, require_within
from suanmesh_kernel.refusals import InvalidArgument

WIRE = Path(__file__).resolve().parents[3] / "libs" / "wire"
SIGNED = (
    usage_pb2.UsageBatch,
    usage_pb2.UsageRecord,
    pool_pb2.PoolDescriptor,
    transfer_pb2.TransferTicket,
    signed_pb2.CallerAssertion,
)


class Spot(NamedTuple):
    """One bound of a type: the fields that lead to it, and what it bounds."""

    kind: Descriptor
    path: tuple[FieldDescriptor, ...]
    what: str
    """`bytes` or `items`."""

    def __str__(self) -> str:
        return f"{self.kind.name}.{'.'.join(field.name for field in self.path)}:{self.what}"

    @property
    def most(self) -> int:
        declared = limits(self.path[-1])
        return declared.max_bytes if self.what == "bytes" else declared.max_items

    @property
    def place(self) -> str:
        """As a refusal names it: the first item of every list on the way, and of the last where an item is too long."""
        listed = [field.name + ("[0]" if field.is_repeated else "") for field in self.path]
        if self.what == "items":
            listed[-1] = self.path[-1].name
        return ".".join(listed)

    def message(self, size: int) -> Any:
        """A message of the kind in which nothing is set but this, at `size`."""
        whole = message_factory.GetMessageClass(self.kind)()
        holder = whole
        for field in self.path[:-1]:
            holder = getattr(holder, field.name)
            holder = holder.add() if field.is_repeated else holder
        if self.what == "items":
            _set_items(holder, self.path[-1], size)
        else:
            _set_bytes(holder, self.path[-1], size)
        return whole


def requests() -> Iterator[Descriptor]:
    """The request of every method of every contract, and what arrives signed within one."""
    yield from (kind.DESCRIPTOR for kind in SIGNED)
    for path in sorted(WIRE.glob("suanmesh/*/v1/*_service_pb2.py")):
        file = importlib.import_module(".".join(path.relative_to(WIRE).with_suffix("").parts)).DESCRIPTOR
        for service in file.services_by_name.values():
            yield from (method.input_type for method in service.methods)


def spots(kind: Descriptor) -> Iterator[Spot]:
    """Every bound that a message of `kind` can break."""

    def within(inner: Descriptor, way: tuple[FieldDescriptor, ...]) -> Iterator[Spot]:
        for field in inner.fields:
            declared, path = limits(field), (*way, field)
            if declared.max_bytes:
                yield Spot(kind, path, "bytes")
            if declared.max_items:
                yield Spot(kind, path, "items")
            if field.message_type is not None and field.message_type.full_name.startswith(OURS):
                yield from within(field.message_type, path)

    return within(kind, ())


def broken(message: Any) -> str:
    found = checker(message.DESCRIPTOR).breach(message)
    return "" if found is None else found.place.removeprefix(".")


ALL = sorted({str(spot): spot for kind in requests() for spot in spots(kind)}.values(), key=str)


def test_there_are_bounds_to_try() -> None:
    """A walk that finds nothing finds no fault either."""
    assert len(ALL) > 250


def test_every_bound_holds_to_the_byte_and_to_the_item() -> None:
    """What is declared and not enforced lets a caller fill memory; what is enforced one too low refuses the honest."""
    let_in = [str(spot) for spot in ALL if not _names(spot, broken(spot.message(spot.most + 1)))]
    kept_out = [str(spot) for spot in ALL if broken(spot.message(spot.most)) == spot.place]

    assert (let_in, kept_out) == ([], [])


def test_the_refusal_says_where_and_how_much() -> None:
    """A caller with a thousand items could not tell which to mend."""
    request = RegisterPoolsRequest()
    for _ in range(4):
        request.descriptors.add()
    request.descriptors[3].key_id = "k" * 300

    with pytest.raises(InvalidArgument) as refused:
        require_within(request)

    assert refused.value.reason == "FIELD_INVALID"
    assert refused.value.facts == {"field": "descriptors[3].key_id", "bytes": "300", "max_bytes": "256"}


def test_bytes_are_counted_not_characters() -> None:
    """A name of 256 Chinese characters takes 768 bytes of log and disk."""
    with pytest.raises(InvalidArgument, match="has 258 bytes"):
        require_within(GetSiteRequest(name="算" * 86))
    require_within(GetSiteRequest(name="算" * 85))


@pytest.mark.parametrize(
    "text",
    ["sites/a\nb", "sites/\x1b[2J", "sites/a\x00", "sites/\x85", "sites/a\u202eb", "sites/\u2066a", "sites/\u2028"],
)
def test_a_name_holds_no_control_character(text: str) -> None:
    """It would forge lines in logs and on terminals, or read as another name; PostgreSQL takes no U+0000 in a text."""
    with pytest.raises(InvalidArgument, match=r"name: holds the control or invisible character U\+[02]0"):
        require_within(GetSiteRequest(name=text))


INVISIBLE = ["\u200fx", "ac\u200bme", "\u2060", "\ufeffacme", "a\xadb", "\u3164", "❤\ufe0f", "a\u200cb", "\ue000"]


@pytest.mark.parametrize("text", ["a\tb\n\x1b[31mred\u202eevil", "\U000e0041\U000e007f", "葛\U000e0100", *INVISIBLE])
@pytest.mark.parametrize("where", ["display_name", "labels"])
def test_what_people_call_a_job_commands_no_terminal(text: str, where: str) -> None:
    """An operator lists the jobs of everybody; kubectl showed them what a pod's name told the terminal to do."""
    named = Job(display_name=text) if where == "display_name" else Job(labels={"team": text})
    with pytest.raises(InvalidArgument, match=rf"items\[0\]\.job\.{where}.*: holds the control or invisible character"):
        require_within(SubmitJobsRequest(items=[SubmitJob(job=named)]))
    require_within(SubmitJobsRequest(items=[SubmitJob(job=Job(environment={"A": "line\nline"}))]))


def test_free_text_may_have_lines_and_names_any_script() -> None:
    """A filter over several lines, and a site named in Chinese, are honest."""
    require_within(SearchPoolsRequest(filter="phase = ACTIVE\n\tAND free.cpu_milli >= 1000"))
    require_within(GetSiteRequest(name="sites/贵阳\u3000一号"))
    with pytest.raises(InvalidArgument, match=r"U\+0000"):
        require_within(SearchPoolsRequest(filter="a\0"))


def test_what_the_contract_does_not_know_is_dropped() -> None:
    """Unknown fields have no bound: a message full of them would be kept whole beside the few that are known."""
    known = GetSiteRequest(name="sites/a").SerializeToString()
    unknown = b"\xa2\x06" + b"\x80\x80\x40" + b"x" * (1 << 20)  # field 100, one mebibyte
    request = GetSiteRequest.FromString(known + unknown)
    assert request.ByteSize() > 1 << 20

    require_within(request)

    assert request.SerializeToString() == known


def _names(spot: Spot, place: str) -> bool:
    """Whether a refusal at `place` is of the spot, or of what holds it."""
    return bool(place) and (place == spot.place or spot.place.startswith((f"{place}.", f"{place}[")))


def _set_items(holder: Any, field: FieldDescriptor, count: int) -> None:
    values = getattr(holder, field.name)
    if _is_map(field):
        values.update({f"fact {index}": "x" for index in range(count)})
    elif field.message_type is not None:
        for _ in range(count):
            values.add()
    else:
        one = {FieldDescriptor.TYPE_STRING: "x", FieldDescriptor.TYPE_BYTES: b"x"}
        values.extend([one.get(field.type, 1)] * count)


def _set_bytes(holder: Any, field: FieldDescriptor, size: int) -> None:
    if _is_map(field):
        getattr(holder, field.name)["fact"] = "x" * size
        return
    if field.message_type is not None:
        _grow(getattr(holder, field.name), size)
        return
    value: str | bytes = "x" * size if field.type == FieldDescriptor.TYPE_STRING else b"x" * size
    if field.is_repeated:
        getattr(holder, field.name).append(value)
    else:
        setattr(holder, field.name, value)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _grow(message: Any, size: int) -> None:
    """Fill a Signed until it has `size` bytes."""
    message.payload = b"x" * (size - 3)
    assert message.ByteSize() == size
