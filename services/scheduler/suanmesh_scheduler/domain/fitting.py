"""How many tasks of an ask fit on which hosts, and which cards each of them takes."""

from __future__ import annotations

from collections.abc import Iterable

from suanmesh_kernel.cards import picked
from suanmesh_kernel.quantities import Capacity
from suanmesh_scheduler.domain.values import Ask, Host

MEASURES = ("cpu_milli", "memory_bytes", "scratch_bytes")
HOSTS_MAX = 16
"""Hosts of one placement."""
Slots = tuple[tuple[str, int], ...]
"""How many tasks run at a time on which host."""


def slots(ask: Ask, hosts: Iterable[Host], most: int) -> Slots:
    """First fit: so many tasks on each host in turn, `most` on `HOSTS_MAX` hosts at the most.

    All take the cards that the first of them takes, so that one amount a task says what a placement holds.
    """
    if not ask.devices:
        return _first_host(ask, hosts) if most == 1 else _first_fit(_bare(ask), hosts, most)
    left = tuple(hosts)
    best: Slots = ()
    seen: set[Capacity] = set()
    for index, host in enumerate(left):
        one = one_task(ask, host.free)
        if one is None or one in seen:
            continue
        seen.add(one)
        found = _first_fit(one, left[index:], most)
        if room(found) > room(best):
            best = found
        if room(best) == most:
            break
    return best


def room(found: Slots) -> int:
    """How many tasks run at a time."""
    return sum(count for _, count in found)


def first_tasks(found: Slots, most: int) -> Slots:
    """The first of them, `most` at the most."""
    kept: list[tuple[str, int]] = []
    for host, count in found:
        if count := min(count, most):
            kept.append((host, count))
            most -= count
    return tuple(kept)


def one_task(ask: Ask, free: Capacity) -> Capacity | None:
    """What one task takes of what is free; None where it does not fit. No card serves two of its asks."""
    cards = picked(ask.devices, free.devices)
    if cards is None:
        return None
    one = Capacity(ask.cpu_milli, ask.memory_bytes, ask.scratch_bytes, cards)
    return one if fitting(one, free) > 0 else None


def taken(ask: Ask, host: Host) -> Capacity:
    """What each task takes when the first of them runs on this host. Raises ValueError where none fits."""
    one = one_task(ask, host.free)
    if one is None:
        raise ValueError(f"no task fits on {host.name}")
    return one


def fitting(one: Capacity, free: Capacity) -> int:
    """How many times `one` goes into what is free; a measure of which it takes nothing does not bind."""
    measures = (
        (free.cpu_milli, one.cpu_milli),
        (free.memory_bytes, one.memory_bytes),
        (free.scratch_bytes, one.scratch_bytes),
    )
    bounds = [max(0, left) // needed for left, needed in measures if needed]
    for card in one.devices:
        same = (c.count for c in free.devices if (c.device_class, c.model) == (card.device_class, card.model))
        bounds.append(max(0, sum(same)) // card.count)
    return min(bounds, default=0)


def _first_fit(one: Capacity, hosts: Iterable[Host], most: int) -> Slots:
    found: list[tuple[str, int]] = []
    left = most
    for host in hosts:
        count = min(left, fitting(one, host.free))
        if count > 0:
            found.append((host.name, count))
            left -= count
        if not left or len(found) == HOSTS_MAX:
            break
    return tuple(found)


def _first_host(ask: Ask, hosts: Iterable[Host]) -> Slots:
    """First fit of one task without cards."""
    cpu_milli, memory_bytes, scratch_bytes = ask.cpu_milli, ask.memory_bytes, ask.scratch_bytes
    for host in hosts if cpu_milli or memory_bytes or scratch_bytes else ():
        free = host.free
        if (
            (free.cpu_milli >= cpu_milli or not cpu_milli)
            and (free.memory_bytes >= memory_bytes or not memory_bytes)
            and (free.scratch_bytes >= scratch_bytes or not scratch_bytes)
        ):
            return ((host.name, 1),)
    return ()


def _bare(ask: Ask) -> Capacity:
    return Capacity(ask.cpu_milli, ask.memory_bytes, ask.scratch_bytes)
