"""Writing what does not depend on each other: many parts in one transaction, and no part in the way of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from suanmesh_kernel.refusals import InvalidArgument, Refusal
from suanmesh_store import Change, Confirm, Conflict, Create, Delete, Store, Update

Parts = Mapping[str, Sequence[Change]]
"""By name: what is written together or not at all."""

PARTS_MAX = 100
"""Parts of one transaction."""
PACK_BYTES = 1_000_000
"""Of documents in one transaction; etcd takes 1.5 MiB."""


async def commit_each(store: Store, parts: Parts) -> tuple[int, dict[str, Refusal]]:
    """The revision of the last write, 0 where there is none, and what refused which part.

    What has changed since it was read is told by the store, and the others are written without it; what is too large
    is looked for by halves. Raises what refuses all of it: Unavailable (`NOT_LEADER`, `NOT_READY`, `OUTCOME_UNKNOWN`).
    """
    revision, refused = 0, dict[str, Refusal]()
    left = list(_packs(parts))
    while left:
        pack = left.pop()
        try:
            committed = await store.commit(*chain.from_iterable(parts[name] for name in pack))
        except Conflict as conflict:
            stale = [name for name in pack if any(key_of(change) in conflict.keys for change in parts[name])]
            refused |= dict.fromkeys(stale or pack, conflict)
            left += [rest] if (rest := [name for name in pack if name not in refused]) else []
        except InvalidArgument as refusal:
            if len(pack) == 1:
                refused[pack[0]] = refusal
            else:
                left += [pack[: len(pack) // 2], pack[len(pack) // 2 :]]
        else:
            revision = max(revision, committed.revision)
    return revision, refused


def key_of(change: Change) -> str:
    """The key whose comparison a change stands or falls with."""
    match change:
        case Create(kind, name):
            return kind.key(name)
        case Update(held) | Delete(held):
            return held.key
        case Confirm(key):
            return key


def _packs(parts: Parts) -> Iterator[list[str]]:
    pack: list[str] = []
    size = 0
    for name, changes in parts.items():
        bytes_ = sum(change.message.ByteSize() for change in changes if isinstance(change, Create | Update))
        if pack and (len(pack) == PARTS_MAX or size + bytes_ > PACK_BYTES):
            yield pack
            pack, size = [], 0
        pack.append(name)
        size += bytes_
    if pack:
        yield pack
