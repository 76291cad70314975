"""Which cards serve an ask for accelerators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from suanmesh_kernel.quantities import Device


@dataclass(frozen=True, slots=True)
class DeviceAsk:
    """Cards one task needs; no models means any."""

    device_class: str
    any_of_models: tuple[str, ...]
    count: int
    min_memory_bytes: int


def serves(card: Device, ask: DeviceAsk) -> bool:
    """Whether such a card will do."""
    return (
        card.device_class == ask.device_class
        and (not ask.any_of_models or card.model in ask.any_of_models)
        and card.memory_bytes >= ask.min_memory_bytes
    )


def cards_free(ask: DeviceAsk, free: Sequence[Device]) -> int:
    """How many cards would serve the ask, were it alone."""
    return sum(card.count for card in free if card.count > 0 and serves(card, ask))


def picked(asks: Sequence[DeviceAsk], free: Sequence[Device]) -> tuple[Device, ...] | None:
    """The cards that one task takes of what is free, by class and model; None where they do not suffice.

    No card serves two of its asks.
    """
    cards = {(card.device_class, card.model): card for card in free if card.count > 0}
    found: dict[tuple[str, str], Device] = {}
    for wanted in sorted(asks, key=lambda ask: cards_free(ask, free)):
        left = wanted.count
        for key in sorted(cards, key=lambda key: _least_wanted(cards[key], asks)):
            card = cards[key]
            count = min(left, card.count) if serves(card, wanted) else 0
            if count > 0:
                cards[key] = replace(card, count=card.count - count)
                found[key] = replace(card, count=count + (found[key].count if key in found else 0))
                left -= count
        if left > 0:
            return None
    return tuple(found[key] for key in sorted(found))


def _least_wanted(card: Device, asks: Sequence[DeviceAsk]) -> tuple[int, int, str]:
    """Cards that fewer of the asks could take go first, then those of which there are most."""
    return (sum(serves(card, wanted) for wanted in asks), -card.count, card.model)
