"""What may be declared as a link."""

from __future__ import annotations

from suanmesh_kernel.money import rated_up
from suanmesh_kernel.names import checked_name
from suanmesh_kernel.refusals import AlreadyExists, FailedPrecondition, ResourceExhausted, invalid_field
from suanmesh_network_orchestrator.domain.topology import MIB, Link

CAPACITY_BPS_MAX = 10**15
LINKS_MAX = 20_000
"""Links of a node; every path search reads them all."""
LATENCY_US_MAX = 10 * 10**6
LOSS_PPM_MAX = 10**6
RISK_GROUPS_MAX = 16
LABEL_CHARS_MAX = 63
MIB_MICROS_MAX = 10**12
"""Dearest a mebibyte may be on one link; a path of them all still fits 64 bits."""


def require_unused(name: str, reserved_bps: int) -> None:
    """Raises FailedPrecondition (`LINK_IN_USE`) while bandwidth of the link is promised."""
    if reserved_bps:
        message = f"{name} carries reservations of {reserved_bps} bit/s"
        raise FailedPrecondition("LINK_IN_USE", message, name=name, reserved_bps=reserved_bps)


def require_declarable(link: Link, *, field: str) -> None:
    """Raises InvalidArgument (`FIELD_INVALID`) that names the first field out of its range."""
    checked_name(link.name, "links", field=f"{field}.name")
    _check_end(link.source, f"{field}.source")
    _check_end(link.target, f"{field}.target")
    if link.source == link.target:
        raise invalid_field(f"{field}.target", "a link joins two different ends")
    _check_range(link.capacity_bps, 1, CAPACITY_BPS_MAX, f"{field}.capacity_bps")
    _check_range(link.latency_us, 0, LATENCY_US_MAX, f"{field}.latency_us")
    _check_range(link.loss_ppm, 0, LOSS_PPM_MAX, f"{field}.loss_ppm")
    if link.price is not None:
        mib_micros = rated_up(MIB, link.price)
        if mib_micros > MIB_MICROS_MAX:
            problem = f"a mebibyte would cost {mib_micros}, {MIB_MICROS_MAX} are allowed"
            raise invalid_field(f"{field}.price.amount_micros", problem)
    if len(link.risk_groups) > RISK_GROUPS_MAX or any(not 0 < len(g) <= LABEL_CHARS_MAX for g in link.risk_groups):
        problem = f"at most {RISK_GROUPS_MAX} groups of 1 to {LABEL_CHARS_MAX} characters"
        raise invalid_field(f"{field}.risk_groups", problem)
    if link.owner:
        checked_name(link.owner, "parties", field=f"{field}.owner")


def require_changeable(before: Link, after: Link) -> None:
    """A link keeps its ends: reservations lie on it. Raises AlreadyExists (`LINK_EXISTS`)."""
    if (before.source, before.target) != (after.source, after.target):
        raise AlreadyExists(
            "LINK_EXISTS",
            f"{before.name} joins {before.source} to {before.target}; declare another link for other ends",
            name=before.name,
            source=before.source,
            target=before.target,
        )


def _check_end(name: str, field: str) -> None:
    checked_name(name, "exchanges" if name.startswith("exchanges/") else "sites", field=field)


def _check_range(value: int, least: int, most: int, field: str) -> None:
    if not least <= value <= most:
        raise invalid_field(field, f"{value} is not within {least} to {most}")


def require_room(first: str, count: int) -> None:
    """Raise ResourceExhausted (`LINKS_TOO_MANY`) where the node would have `count` links, and may not."""
    if count > LINKS_MAX:
        message = f"the node would have {count} links, at most {LINKS_MAX} are allowed"
        raise ResourceExhausted("LINKS_TOO_MANY", message, name=first, most=LINKS_MAX)
