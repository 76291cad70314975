"""Which instance takes the next attempt: a pure choice over what the resolver knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from suanmesh_sdk.resolver import Instance, InstanceState


def pick(
    instances: Sequence[Instance],
    *,
    led: bool,
    leader_hint: str,
    tried: Collection[str],
    in_flight: Callable[[str], int],
) -> str:
    """The address to try: the leader for what only it serves, else the least busy instance; empty when none is known.

    `leader_hint` is where the last NOT_LEADER pointed; it is believed before the resolver, which may be behind.
    Addresses in `tried` come last. Ties go to the earlier instance.
    """
    if led and leader_hint and leader_hint not in tried:
        return leader_hint
    if len(instances) == 1:  # as behind every gateway: nothing is left to choose
        return "" if instances[0].state is InstanceState.DRAINING else instances[0].address
    active = [each for each in instances if each.state is InstanceState.ACTIVE]
    active = active or [each for each in instances if each.state is InstanceState.STARTING]  # it will say why
    if led:
        leaders = [each for each in active if each.leader]
        active = leaders or active
    fresh = [each for each in active if each.address not in tried]
    best = min(fresh or active, key=lambda each: in_flight(each.address), default=None)
    return "" if best is None else best.address


def elsewhere(instances: Sequence[Instance], address: str, *, led: bool) -> bool:
    """Whether another instance would answer what was asked at `address`; one that drains still finishes it."""
    if any(each.address == address and each.state is InstanceState.DRAINING for each in instances):
        return False
    return any(
        each.address != address and each.state is InstanceState.ACTIVE and (each.leader or not led)
        for each in instances
    )
