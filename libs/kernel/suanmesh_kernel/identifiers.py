"""Identifiers: sortable random ids, and the checksummed `cri:` of a pool."""

from __future__ import annotations

import hashlib
from datetime import datetime

from suanmesh_kernel.clock import Rng

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: no i, l, o, u."""


def sortable_id(now: datetime, rng: Rng) -> str:
    """An id of 20 characters whose order is the order of creation: 45 bits of milliseconds, 55 random ones."""
    milliseconds = int(now.timestamp() * 1000)
    return _base32(milliseconds, 9) + _base32(int.from_bytes(rng(7), "big") & ((1 << 55) - 1), 11)


def compute_resource_identifier(node: str, site: str, pool_class: str, unique: str) -> str:
    """A pool's identifier `cri:1:<node>:<site>:<class>:<unique>:<check>`.

    It says who, where and what class, never how much. `check` is 4 base-32 characters of the SHA-256 of all before it,
    so that a mistyped identifier is told apart from an unknown one.
    """
    body = f"cri:1:{node}:{site}:{pool_class}:{unique}"
    return f"{body}:{_check(body)}"


def is_compute_resource_identifier(text: str) -> bool:
    """Whether `text` has the form of a `cri:1:` identifier and its check characters are right."""
    body, _, check = text.rpartition(":")
    return body.startswith("cri:1:") and body.count(":") == 5 and check == _check(body)


def _check(body: str) -> str:
    return _base32(int.from_bytes(hashlib.sha256(body.encode()).digest()[:3], "big") >> 4, 4)


def _base32(value: int, length: int) -> str:
    return "".join(_ALPHABET[(value >> (5 * place)) & 31] for place in reversed(range(length)))
