"""What a process listens on, and what it tells others: `host:port` both, and two settings."""

from __future__ import annotations

from ipaddress import ip_address

from suanmesh_kernel.refusals import InvalidArgument

RELAY = "relay"
"""In the place of a data plane's `host:port`: the site only dials out, gateways carry calls to it."""


def host_of(address: str) -> str:
    """The host of `host:port`, an IPv6 address without its brackets."""
    return address.rpartition(":")[0].strip("[]")


def is_everywhere(host: str) -> bool:
    """Whether it stands for every address of a machine, as `0.0.0.0` does: one listens on it, nobody reaches it."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return not host


def is_loopback(host: str) -> bool:
    """Whether only processes of the same machine reach it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def told_address(listens: str, advertise: str, *, field: str) -> str:
    """What others are told of a listener on `listens`: `advertise`, or where it is empty the listener's own address.

    `advertise` may be a host alone, to which the listener's port is added. Raises InvalidArgument (`FIELD_INVALID`)
    that names `field` where what would be told is every address of the machine.
    """
    port = listens.rpartition(":")[2]
    told = listens
    if advertise:
        alone = advertise.endswith("]") or ":" not in advertise
        told = f"{advertise}:{port}" if alone else advertise
    if is_everywhere(host_of(told)):
        problem = f"{told} is every address of this machine; say at which `host:port` others reach it"
        raise InvalidArgument("FIELD_INVALID", f"{field}: {problem}", field=field)
    return told
