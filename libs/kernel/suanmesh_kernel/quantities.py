"""Amounts of compute, as values that can be added and compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Device:
    """Accelerator cards of one class and model."""

    device_class: str
    model: str
    count: int
    memory_bytes: int = 0
    shareable: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much there is, or how much is asked for: milli-cores, bytes, bytes, cards."""

    cpu_milli: int = 0
    memory_bytes: int = 0
    scratch_bytes: int = 0
    devices: tuple[Device, ...] = ()

    def plus(self, other: Capacity) -> Capacity:
        """Both together; cards of one class and model are counted together."""
        return self._joined(other, 1)

    def minus(self, other: Capacity) -> Capacity:
        """What is left; may be negative."""
        return self._joined(other, -1)

    def times(self, count: int) -> Capacity:
        """`count` times as much."""
        devices = tuple(replace(device, count=device.count * count) for device in self.devices)
        return Capacity(self.cpu_milli * count, self.memory_bytes * count, self.scratch_bytes * count, devices)

    def _joined(self, other: Capacity, sign: int) -> Capacity:
        cards = {(d.device_class, d.model): d for d in self.devices}
        for device in other.devices:
            key = (device.device_class, device.model)
            held = cards.get(key, replace(device, count=0))
            cards[key] = replace(held, count=held.count + sign * device.count)
        return Capacity(
            self.cpu_milli + sign * other.cpu_milli,
            self.memory_bytes + sign * other.memory_bytes,
            self.scratch_bytes + sign * other.scratch_bytes,
            tuple(card for card in cards.values() if card.count),
        )


def total(capacities: Iterable[Capacity]) -> Capacity:
    """All together."""
    result = Capacity()
    for capacity in capacities:
        result = result.plus(capacity)
    return result
