"""How many tasks of an ask fit on which hosts."""

from __future__ import annotations

from collections.abc import Iterable

from suanmesh_kernel.quantities import Capacity
from suanmesh_scheduler.domain.values import Ask, DeviceAsk, Host

MEASURES = ("cpu_milli", "memory_bytes", "scratch_bytes")


def slots(ask: Ask, hosts: Iterable[Host], most: int) -> tuple[tuple[str, int], ...]:
    """First fit: so many tasks on each host in turn, `most` at the most."""
    found: list[tuple[str, int]] = []
    left = most
    for host in hosts:
        count = min(left, fitting(ask, host.free))
        if count > 0:
            found.append((host.name, count))
            left -= count
    return tuple(found)


def fitting(ask: Ask, free: Capacity) -> int:
    """How many tasks fit into what is free; a task that asks for nothing of a measure is not bound by it."""
    bounds = [
        max(0, getattr(free, measure)) // getattr(ask, measure) for measure in MEASURES if getattr(ask, measure) > 0
    ]
    bounds += [cards_free(device, free) // device.count for device in ask.devices if device.count > 0]
    return min(bounds, default=0)


def cards_free(ask: DeviceAsk, free: Capacity) -> int:
    """How many cards would serve the ask."""
    return sum(
        card.count
        for card in free.devices
        if card.device_class == ask.device_class
        and (not ask.any_of_models or card.model in ask.any_of_models)
        and card.memory_bytes >= ask.min_memory_bytes
    )


def taken(ask: Ask, host: Host) -> Capacity:
    """What one task takes from a host, its cards picked from the models that serve it."""
    devices = []
    for wanted in ask.devices:
        left = wanted.count
        for card in host.capacity.devices:
            one = DeviceAsk(wanted.device_class, wanted.any_of_models, 1, wanted.min_memory_bytes)
            if left and cards_free(one, Capacity(devices=(card,))):
                count = min(left, card.count)
                devices.append(type(card)(card.device_class, card.model, count, card.memory_bytes, card.shareable))
                left -= count
    return Capacity(ask.cpu_milli, ask.memory_bytes, ask.scratch_bytes, tuple(devices))
