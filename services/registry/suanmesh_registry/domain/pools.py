"""Pools: what a site offers, from the signed claim to the confirmed fact."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from suanmesh_kernel.names import checked_id, checked_name, last
from suanmesh_kernel.owner_limits import NO_LIMITS, SHARE_MILLI_MAX, OwnerLimits
from suanmesh_kernel.quantities import Capacity, total
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_registry.domain.liveness import Liveness

HOSTS_MAX = 64
CPU_MILLI_MAX = 10**8
"""Of one host, as are the others: what all hosts of all pools hold together must fit 64 bits."""
MEMORY_BYTES_MAX = 2**46
SCRATCH_BYTES_MAX = 2**50
DEVICE_KINDS_MAX = 16
DEVICE_COUNT_MAX = 1000
DEVICE_MEMORY_BYTES_MAX = 2**42
CAPABILITIES_MAX = 32
OFFERS_MAX = 8
RUNTIMES_MAX = 32
_WORD = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._+-]{0,63}")


class Phase(Enum):
    """Where a pool stands."""

    VERIFYING = "VERIFYING"
    ACTIVE = "ACTIVE"
    SUSPECT = "SUSPECT"
    QUARANTINED = "QUARANTINED"


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.VERIFYING: frozenset({Phase.ACTIVE, Phase.QUARANTINED}),
    Phase.ACTIVE: frozenset({Phase.VERIFYING, Phase.SUSPECT, Phase.QUARANTINED}),
    Phase.SUSPECT: frozenset({Phase.VERIFYING, Phase.ACTIVE, Phase.QUARANTINED}),
    Phase.QUARANTINED: frozenset({Phase.VERIFYING}),
}
"""Where a pool may go from each phase; a new descriptor sends it back to VERIFYING."""


@dataclass(frozen=True, slots=True)
class Host:
    """One machine of a pool; `capacity` is None where it is the pool's usual one."""

    name: str
    capacity: Capacity | None = None


@dataclass(frozen=True, slots=True)
class Capability:
    """One ability, with its unit; only what decides about the descriptor's validity."""

    quantity: str
    value: int
    unit: str


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What an agent signs about a pool."""

    name: str
    architecture: str
    hosts: tuple[Host, ...]
    host_capacity: Capacity
    runtimes: tuple[str, ...]
    capabilities: tuple[Capability, ...]
    offers: tuple[str, ...]
    generation: int
    origin_known: bool
    limits: OwnerLimits = NO_LIMITS
    limits_known: bool = True
    """Whether every kind of work that it refuses is known here."""

    def capacity(self) -> Capacity:
        """What all hosts hold together."""
        return total(host.capacity or self.host_capacity for host in self.hosts)


@dataclass(frozen=True, slots=True)
class Observed:
    """What the agent last said a pool has free."""

    free: Capacity


def checked(descriptor: Descriptor) -> Descriptor:
    """Return the descriptor if its values can be true.

    Raises InvalidArgument (`FIELD_INVALID`).
    """
    checked_name(descriptor.name, "sites", "pools", field="descriptor.name")
    _check(descriptor.generation >= 1, "generation", "counts from 1")
    _check_limits(descriptor)
    _check(descriptor.origin_known, "capacity_origin", "say where the capacity comes from")
    _check(_WORD.fullmatch(descriptor.architecture), "architecture", "is a word such as x86_64")
    _check_hosts(descriptor)
    _check(len(descriptor.runtimes) <= RUNTIMES_MAX, "runtimes", f"at most {RUNTIMES_MAX}")
    _check(all(_WORD.fullmatch(runtime) for runtime in descriptor.runtimes), "runtimes", "are words such as python3.11")
    _check_capabilities(descriptor.capabilities)
    _check_offers(descriptor)
    return descriptor


def pool_class(descriptor: Descriptor) -> str:
    """The class word of a pool's identifier: its first device's class, or `cpu`."""
    devices = descriptor.host_capacity.devices
    return devices[0].device_class if devices else "cpu"


def settled(phase: Phase, liveness: Liveness, capacity: Capacity, observed: Observed | None) -> Phase:
    """Where a pool stands after what is known now.

    A claim is confirmed when its living agent reports no more free than the descriptor declares, and refuted when it
    reports more: then either the descriptor or the report is wrong, and nothing may be placed on it.
    """
    if phase is Phase.QUARANTINED:
        return phase
    if liveness is not Liveness.ALIVE:
        return Phase.SUSPECT if phase is Phase.ACTIVE else phase
    if observed is None:
        return phase
    return moved(phase, Phase.ACTIVE if _within(observed.free, capacity) else Phase.QUARANTINED)


def moved(phase: Phase, to: Phase) -> Phase:
    """Return `to` if a pool may go there from `phase`; anything else is a defect of ours."""
    if to is not phase and to not in TRANSITIONS[phase]:
        raise ValueError(f"a pool does not go from {phase.value} to {to.value}")
    return to


def redescribed(phase: Phase) -> Phase:
    """Where a pool stands after a newer descriptor: its new claims are unproven."""
    return moved(phase, Phase.VERIFYING)


def _within(free: Capacity, capacity: Capacity) -> bool:
    left = capacity.minus(free)
    amounts = (left.cpu_milli, left.memory_bytes, left.scratch_bytes)
    return min(amounts) >= 0 and all(device.count >= 0 for device in left.devices)


def _check_hosts(descriptor: Descriptor) -> None:
    hosts = descriptor.hosts
    _check(1 <= len(hosts) <= HOSTS_MAX, "hosts", f"1 to {HOSTS_MAX}")
    _check(len({host.name for host in hosts}) == len(hosts), "hosts", "names are unique")
    for host in hosts:
        checked_id(host.name, field="descriptor.hosts.name")
    for capacity in (descriptor.host_capacity, *(host.capacity for host in hosts if host.capacity)):
        _check_capacity(capacity)


def _check_capacity(capacity: Capacity) -> None:
    for field, amount, most in (
        ("cpu_milli", capacity.cpu_milli, CPU_MILLI_MAX),
        ("memory_bytes", capacity.memory_bytes, MEMORY_BYTES_MAX),
        ("scratch_bytes", capacity.scratch_bytes, SCRATCH_BYTES_MAX),
    ):
        _check(0 <= amount <= most, f"host_capacity.{field}", f"{amount} is not within 0 to {most}")
    _check(len(capacity.devices) <= DEVICE_KINDS_MAX, "host_capacity.devices", f"at most {DEVICE_KINDS_MAX} kinds")
    for device in capacity.devices:
        _check(1 <= device.count <= DEVICE_COUNT_MAX, "host_capacity.devices.count", f"1 to {DEVICE_COUNT_MAX}")
        _check(
            0 <= device.memory_bytes <= DEVICE_MEMORY_BYTES_MAX,
            "host_capacity.devices.memory_bytes",
            f"{device.memory_bytes} is not within 0 to {DEVICE_MEMORY_BYTES_MAX}",
        )
    _check(
        all(_WORD.fullmatch(word) for d in capacity.devices for word in (d.device_class, d.model)),
        "host_capacity.devices",
        "class and model are words",
    )


def _check_capabilities(capabilities: Sequence[Capability]) -> None:
    quantities = [capability.quantity for capability in capabilities]
    _check(len(quantities) <= CAPABILITIES_MAX, "capabilities", f"at most {CAPABILITIES_MAX}")
    _check(len(set(quantities)) == len(quantities), "capabilities", "one value a quantity")
    _check(all(_WORD.fullmatch(quantity) for quantity in quantities), "capabilities.quantity", "is a word")
    _check(all(c.value >= 0 and len(c.unit) <= 32 for c in capabilities), "capabilities", "no value is negative")


def _check_limits(descriptor: Descriptor) -> None:
    limits = descriptor.limits
    for party in limits.parties:
        checked_name(party, "parties", field="descriptor.limits.parties")
    _check(all(window.is_valid for window in limits.hours), "limits.hours", "are parts of one week")
    _check(descriptor.limits_known, "limits.refused_kinds", "are kinds of work")
    _check(0 <= limits.party_share_milli <= SHARE_MILLI_MAX, "limits.party_share_milli", f"0 to {SHARE_MILLI_MAX}")


def _check_offers(descriptor: Descriptor) -> None:
    _check(len(descriptor.offers) <= OFFERS_MAX, "offers", f"at most {OFFERS_MAX}")
    _check(len(set(descriptor.offers)) == len(descriptor.offers), "offers", "names are unique")
    for offer in descriptor.offers:
        checked_name(offer, "sites", "pools", "offers", field="descriptor.offers.name")
        _check(offer == f"{descriptor.name}/offers/{last(offer)}", "offers.name", "is one of the pool's own")


def _check(fits: object, field: str, problem: str) -> None:
    if not fits:
        raise InvalidArgument("FIELD_INVALID", f"descriptor.{field}: {problem}", field=f"descriptor.{field}")
