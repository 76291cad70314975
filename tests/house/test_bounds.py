"""Every field of every contract says how large it may be."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FileDescriptor

from suanmesh_chassis.bounds import checker, unbounded

WIRE = Path(__file__).resolve().parents[2] / "libs" / "wire"


def contracts() -> Iterator[FileDescriptor]:
    """Every file of ours but etcd's own wire contract."""
    for path in sorted(WIRE.glob("suanmesh/*/v1/*_pb2.py")):
        if "etcdwire" not in path.parts:
            yield importlib.import_module(".".join(path.relative_to(WIRE).with_suffix("").parts)).DESCRIPTOR


def messages() -> Iterator[Descriptor]:
    """Every message, those within messages too."""
    waiting = [kind for file in contracts() for kind in file.message_types_by_name.values()]
    while waiting:
        kind = waiting.pop()
        waiting += kind.nested_types
        if not kind.GetOptions().map_entry:
            yield kind


@pytest.mark.parametrize("kind", list(messages()), ids=lambda kind: kind.full_name.removeprefix("suanmesh."))
def test_every_field_declares_how_large_it_may_be(kind: Descriptor) -> None:
    """One text without a bound lets one caller fill the memory and the disk of whoever keeps it."""
    assert list(unbounded(kind)) == []
    assert checker(kind)


def test_the_walk_finds_the_contracts() -> None:
    """A walk that finds nothing finds no fault either."""
    assert len(list(messages())) > 150
