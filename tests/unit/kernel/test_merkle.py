"""Merkle trees as RFC 6962 has them, so that a proof can be checked by anybody's own code."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel import merkle

LEAVES = [b"", b"\0", b"\x10", b" !", b"01", b"@ABC", b"PQRSTUVW", b"`abcdefghijklmno"]
"""Those that the Certificate Transparency implementations test with."""
ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
"""Of all of them."""
items = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def naive(leaves: list[bytes]) -> bytes:
    """Word for word as RFC 6962, 2.1 defines it."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\1" + naive(leaves[:k]) + naive(leaves[k:])).digest()


def test_the_root_is_that_of_others() -> None:
    """A customer's auditor uses a library that was written for certificates."""
    assert merkle.root_hash(merkle.leaf_hashes(LEAVES)).hex() == ROOT
    assert merkle.root_hash([]) == naive([])


@given(items)
def test_each_item_has_a_path_to_the_root(content: list[bytes]) -> None:
    """A record that cannot be proved is not paid for by whoever is careful."""
    leaves = merkle.leaf_hashes(content)
    root = merkle.root_hash(leaves)
    assert root == naive(leaves)
    for index, path in enumerate(merkle.audit_paths(leaves, range(len(leaves)))):
        assert merkle.root_of_path(leaves[index], index, len(leaves), path) == root
        assert len(path) <= (len(leaves) - 1).bit_length()


@given(items, st.data())
def test_nothing_else_has_one(content: list[bytes], data: st.DataObject) -> None:
    """A path that proves another record, place or size lets a record be swapped for a dearer one."""
    leaves = merkle.leaf_hashes(content)
    size, root = len(leaves), merkle.root_hash(leaves)
    index = data.draw(st.integers(0, size - 1))
    [path] = merkle.audit_paths(leaves, [index])
    other = sha256(b"other").digest()
    place = data.draw(st.integers(-1, size + 1))
    wrongs = [
        (other, index, size, path),
        (leaves[index], index, size, [*path, other]),
        (leaves[index], index, size, [*path[:-1], other]),
        (leaves[index], index, size + 1 + 2 * size, path),
    ]
    wrongs += [(leaves[index], place, size, path)] if place not in range(size) else []
    wrongs += [(leaves[index], index, size, path[:-1])] if path else []
    for wrong in wrongs:
        assert merkle.root_of_path(*wrong) != root
