"""Values of the kernel as messages of the contracts, and back."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from suanmesh.type.v1 import capacity_pb2
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
