"""Writing what does not depend on each other: many parts in one transaction, and no part in the way of another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from suanmesh_kernel.refusals import InvalidArgument, Refusal
from suanmesh_store import Change, Committed, Confirm, Conflict, Create, Delete, Held, Store, Update

Part = Sequence[Change | Held[Any]]
"""What is written together or not at all, and only where each document beside it is still as it was read."""
Parts = Mapping[str, Part]
"""By name."""

PARTS_MAX = 100
"""Parts of one transaction."""
PACK_BYTES = 1_000_000
"""Of documents in one transaction; etcd takes 1.5 MiB."""


async def commit_each(
    store: Store, parts: Parts, note: Callable[[Committed], None] = lambda committed: None
) -> tuple[int, dict[str, Refusal]]:
    """The revision of the last write, 0 where there is none, and what refused which part; `note` is told of each write.

    What has changed since it was read is told by the store, and the others are written without it; what is too large
    is looked for by halves. Raises what refuses all of it: Unavailable (`NOT_LEADER`, `NOT_READY`, `OUTCOME_UNKNOWN`).
    """
    revision, refused = 0, dict[str, Refusal]()
    left = list(_packs(parts))
    while left:
        pack = left.pop()
        try:
            committed = await _commit(store, list(chain.from_iterable(parts[name] for name in pack)))
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
            note(committed)
    return revision, refused


def key_of(change: Change | Held[Any]) -> str:
    """The key whose comparison a change, or a document beside it, stands or falls with."""
    match change:
        case Held():
            return change.key
        case Create(kind, name):
            return kind.key(name)
        case Update(held) | Delete(held):
            return held.key
        case Confirm(key):
            return key


async def _commit(store: Store, pack: Part) -> Committed:
    guards = [each for each in pack if isinstance(each, Held)]
    return await store.commit(*(each for each in pack if not isinstance(each, Held)), guards=guards)


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
