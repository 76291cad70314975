"""Accelerator cards: which there are, and which of them a task is given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from suanmesh_kernel.cards import DeviceAsk, picked
from suanmesh_kernel.quantities import Device


@dataclass(frozen=True, slots=True)
class Card:
    """One card of this host."""

    id: str
    """As its maker names this very card; the same after a restart of the host."""
    device_class: str
    """Kind, such as `gpu`."""
    model: str
    memory_bytes: int
    nodes: tuple[tuple[Path, str], ...] = ()
    """Device files that a program needs to use it: on the host, and by name below a task's `/dev`."""


@dataclass(frozen=True, slots=True)
class CardLook:
    """How a card stands at one moment."""

    card: Card
    fault: str = ""
    """What is wrong with it, in its library's words; empty where it answers."""
    busy_milli: int = 0
    """In 1/1000 of the last second or so: how long something was running on it."""
    memory_used_bytes: int = 0


def counted(cards: Iterable[Card]) -> tuple[Device, ...]:
    """The cards by class, model and memory; of cards that differ in memory alone, that of the least."""
    found: dict[tuple[str, str], Device] = {}
    for card in cards:
        key = (card.device_class, card.model)
        before = found.get(key)
        count = 1 + (before.count if before else 0)
        memory = min(card.memory_bytes, before.memory_bytes) if before else card.memory_bytes
        found[key] = Device(*key, count, memory)
    return tuple(found[key] for key in sorted(found))


def to_ask_for(asks: Sequence[DeviceAsk], hosts: Sequence[Sequence[Device]]) -> tuple[tuple[str, str, int], ...] | None:
    """Class, model and number of the cards that one task is to be given by a scheduler of the site's own.

    No model is any. Where the task is choosy they are those that the first host with enough of them would give; None
    where no host has enough, and nothing where the hosts have no cards at all: those of the site are declared.
    """
    if not asks or not any(hosts):
        return ()
    choosy = any(ask.any_of_models or ask.min_memory_bytes for ask in asks)
    for devices in hosts:
        given = picked(asks, devices)
        if given is not None and choosy:
            return tuple((device.device_class, device.model, device.count) for device in given)
        if given is not None:
            counts = Counter[str]()
            for ask in asks:
                counts[ask.device_class] += ask.count
            return tuple((device_class, "", count) for device_class, count in sorted(counts.items()))
    return None


def assigned(cards: Sequence[Card], taken: Collection[str], asks: Sequence[DeviceAsk]) -> tuple[Card, ...] | None:
    """The cards one task is given, none of them in `taken`; None where those that are left do not suffice."""
    left = [card for card in cards if card.id not in taken]
    wanted = picked(asks, counted(left))
    if wanted is None:
        return None
    given: list[Card] = []
    for device in wanted:
        same = [card for card in left if (card.device_class, card.model) == (device.device_class, device.model)]
        given += same[: device.count]
    return tuple(given)
