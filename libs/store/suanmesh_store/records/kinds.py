"""Kinds of records and their indexes, declared by the services that own them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_store.layout import M

Field = str | int
Key = tuple[Field, ...]
"""Values that a record is found by, the first one first. Texts are ordered by code point, integers by value."""

KEY_BYTES_MAX = 2_000
"""Of one encoded key; an index of PostgreSQL takes 2,704."""
_TEXT, _INTEGER = b"\x02", b"\x03"
_ESCAPED, _END = b"\x00\xff", b"\x00"
BEHIND = b"\xff"
"""Behind an encoded key: greater than whatever begins with that key."""


@dataclass(frozen=True, slots=True)
class Index(Generic[M]):
    """By what records of a kind are found and in which order they are listed."""

    name: str
    keys: Callable[[M], Iterable[Key]]
    """Under what a record is found: nowhere, once or several times. Told by the message alone, always the same."""
    version: int = 1
    """To raise whenever `keys` gives others than before: the index is then made anew when the records are opened."""


@dataclass(frozen=True, slots=True)
class RecordKind(Generic[M]):
    """A collection of records: what one is, and its indexes."""

    collection: str
    message: type[M]
    indexes: Sequence[Index[M]] = ()

    def keys_of(self, name: str, message: M) -> frozenset[tuple[str, bytes]]:
        """Every index a record stands in, each with the encoded key; the name ends it and makes it its own.

        Raises InvalidArgument (`DOCUMENT_TOO_LARGE`) for a key of more than KEY_BYTES_MAX.
        """
        keys = frozenset((index.name, encoded((*key, name))) for index in self.indexes for key in index.keys(message))
        size = max((len(key) for _, key in keys), default=0)
        if size > KEY_BYTES_MAX:
            raise InvalidArgument(
                "DOCUMENT_TOO_LARGE",
                f"an index key of {name[:100]} would take {size} bytes, {KEY_BYTES_MAX} are allowed",
                domain="mesh.suanmesh",
                name=name[:100],
                size_bytes=size,
                limit_bytes=KEY_BYTES_MAX,
            )
        return keys


def encoded(key: Key) -> bytes:
    """A key as bytes that stand in the same order, and none of which is the beginning of another's.

    The encoding of tuples in FoundationDB, of texts and of integers of 64 bits.
    """
    return b"".join(map(_encoded, key))


def bounds(equals: Key, after: Key, *, descending: bool) -> tuple[bytes, bytes]:
    """Between which encoded keys a page lies: from the first on, and before the second."""
    low, high = encoded(equals), encoded(equals) + BEHIND
    if after and descending:
        high = encoded(equals + after)
    elif after:
        low = encoded(equals + after) + BEHIND
    return low, high


def digest_of(kinds: Iterable[RecordKind[Any]]) -> str:
    """What tells one set of indexes from another: who writes with another set would leave indexes incomplete."""
    declared = sorted(f"{kind.collection}/{index.name}/{index.version}" for kind in kinds for index in kind.indexes)
    return hashlib.sha256(" ".join(declared).encode()).hexdigest()[:16]


def _encoded(field: Field) -> bytes:
    if isinstance(field, str):
        text = field.encode()
        return _TEXT + (text.replace(b"\x00", _ESCAPED) if b"\x00" in text else text) + _END
    return _INTEGER + (field + (1 << 63)).to_bytes(8, "big")
