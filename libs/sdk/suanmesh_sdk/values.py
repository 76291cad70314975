"""Values of the kernel as messages of the contracts, and back."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.registry.v1 import pool_pb2
from suanmesh.type.v1 import capacity_pb2
from suanmesh_kernel.owner_limits import NO_LIMITS, OwnerLimits, WeekWindow, WorkKind
from suanmesh_kernel.quantities import Capacity, Device


def timestamp(moment: datetime) -> Timestamp:
    """A moment as a Timestamp."""
    result = Timestamp()
    result.FromDatetime(moment)
    return result


def capacity_from(message: capacity_pb2.Capacity) -> Capacity:
    """An amount of compute."""
    # `class` is a keyword in Python, so the field can only be named as text.
    devices = tuple(Device(getattr(d, "class"), d.model, d.count, d.memory_bytes, d.shareable) for d in message.devices)
    return Capacity(message.cpu_milli, message.memory_bytes, message.scratch_bytes, devices)


def capacity_to(capacity: Capacity) -> capacity_pb2.Capacity:
    """An amount of compute as its message."""
    message = capacity_pb2.Capacity(
        cpu_milli=capacity.cpu_milli, memory_bytes=capacity.memory_bytes, scratch_bytes=capacity.scratch_bytes
    )
    for device in capacity.devices:
        card = message.devices.add(
            model=device.model, count=device.count, memory_bytes=device.memory_bytes, shareable=device.shareable
        )
        setattr(card, "class", device.device_class)
    return message


def limits_from(message: pool_pb2.OwnerLimits) -> OwnerLimits:
    """What an owner refuses; a kind of work that is not known here is left out."""
    if not message.ByteSize():
        return NO_LIMITS
    known = {pool_pb2.WorkKind.Value(f"WORK_KIND_{kind}"): kind for kind in WorkKind}
    return OwnerLimits(
        parties=frozenset(message.parties),
        hours=tuple(WeekWindow(window.start_min, window.end_min) for window in message.hours),
        refused_kinds=frozenset(known[kind] for kind in message.refused_kinds if kind in known),
        party_share_milli=message.party_share_milli,
        upload_party_bytes=message.upload_party_bytes,
        upload_bytes=message.upload_bytes,
    )


def limits_to(limits: OwnerLimits) -> pool_pb2.OwnerLimits:
    """The same as its message."""
    return pool_pb2.OwnerLimits(
        parties=sorted(limits.parties),
        hours=[pool_pb2.WeekWindow(start_min=each.start_min, end_min=each.end_min) for each in limits.hours],
        refused_kinds=[pool_pb2.WorkKind.Value(f"WORK_KIND_{kind}") for kind in sorted(limits.refused_kinds)],
        party_share_milli=limits.party_share_milli,
        upload_party_bytes=limits.upload_party_bytes,
        upload_bytes=limits.upload_bytes,
    )
