"""Merkle trees of RFC 6962, over SHA-256: one hash for many items, and a short proof that an item is among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32


def leaf_hashes(items: Iterable[bytes]) -> list[bytes]:
    """The hashes of items, in their order."""
    return [sha256(b"\0" + item).digest() for item in items]


def root_hash(leaves: Sequence[bytes]) -> bytes:
    """The hash of a tree with these leaf hashes; that of nothing where there are none."""
    return _levels(leaves)[-1][0] if leaves else sha256().digest()


def audit_paths(leaves: Sequence[bytes], indexes: Iterable[int]) -> list[list[bytes]]:
    """For each of the leaves at `indexes` the hashes that lead from it to the root, the lowest first."""
    levels = _levels(leaves)[:-1]
    return [
        [level[index >> height ^ 1] for height, level in enumerate(levels) if index >> height ^ 1 < len(level)]
        for index in indexes
    ]


def root_of_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root to which a path leads from a leaf hash at `index` among `size`; None where no such path can be."""
    if not 0 <= index < size or len(leaf) != HASH_BYTES:
        return None
    last, left = size - 1, list(path)
    node = leaf
    while last:
        if index & 1 or index < last:
            if not left:
                return None
            sibling = left.pop(0)
            node = _node(sibling, node) if index & 1 else _node(node, sibling)
        index, last = index >> 1, last >> 1
    return None if left else node


def _levels(leaves: Sequence[bytes]) -> list[Sequence[bytes]]:
    """The hashes of each level up to the root; one without a neighbour goes up as it is."""
    levels = [leaves]
    while len(level := levels[-1]) > 1:
        above = [_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
        levels.append([*above, level[-1]] if len(level) % 2 else above)
    return levels


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()
