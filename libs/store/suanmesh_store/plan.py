"""A commit as a transaction, and what its failure means: plain functions over values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from suanmesh.type.v1.document_pb2 import RequestRecord
from suanmesh_store import documents
from suanmesh_store.documents import Stamp
from suanmesh_store.keyspace import Compare, Created, Entry, Modified, Put, Remove, Unlease, Write
from suanmesh_store.layout import ROOT, Kind, request_key
from suanmesh_store.values import (
    Answered,
    Change,
    Confirm,
    Conflict,
    Create,
    Delete,
    Guard,
    Held,
    IdempotencyRecord,
    Update,
)


@dataclass(frozen=True, slots=True)
class Fence:
    """The election key that must still be the one it was."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One transaction: what it relies on, what it writes, and the documents it leaves."""

    compares: tuple[Compare, ...]
    writes: tuple[Write, ...]
    held: tuple[Held[Any], ...]
    idempotency: Modified | None = None
    """The record of the answer, as it must stand."""
    fence: Fence | None = None


def plan(
    changes: Sequence[Change],
    guards: Sequence[Guard],
    *,
    area: str,
    stamp: Stamp,
    new_uid: Callable[[], str],
    fence: Fence | None,
) -> Plan:
    """Turn changes into one transaction.

    Raises InvalidArgument (`DOCUMENT_TOO_LARGE`), and ValueError where a caller writes another area's documents or
    names one key twice: both are defects of the caller.
    """
    compares: dict[str, Compare] = {}
    writes: list[Write] = []
    held: list[Held[Any]] = []
    for change in changes:
        document = _document(change, area, stamp, new_uid)
        if document is not None:
            held.append(document)
        compare, write = _step(change, document, stamp.fence)
        if compare.key in compares:
            raise ValueError(f"{compare.key} is written twice in one commit")
        compares[compare.key] = compare
        writes.append(write)
    for guard in guards:
        _add_guard(compares, guard)
    ordered = list(compares.values())
    if fence is not None:
        ordered.append(Created(fence.key, fence.revision))
    return Plan(tuple(ordered), tuple(writes), tuple(held), fence=fence)


def remembering(base: Plan, idempotency: IdempotencyRecord, *, area: str, lease: int) -> Plan:
    """The same transaction with the record of its answer."""
    key = request_key(area, idempotency.key.principal, idempotency.key.request_id)
    put = Put(key, documents.request_record(idempotency), lease)
    standing = Modified(key, idempotency.over)
    return Plan((*base.compares, standing), (*base.writes, put), base.held, standing, base.fence)


def applied(plan_: Plan, found: dict[str, Entry | None]) -> int:
    """The revision at which this very transaction was applied before, read from what it would have written; 0 if it
    cannot be told.

    Only puts can tell: a document's bytes carry a uid and a moment that no other commit has, and a token is the same
    one if it says the same on the same lease.
    """
    puts = [write for write in plan_.writes if isinstance(write, Put)]
    revisions = set()
    for put in puts:
        entry = found.get(put.key)
        if entry is None or (entry.value, entry.lease) != (put.value, put.lease):
            return 0
        revisions.add(entry.mod_revision)
    return revisions.pop() if len(revisions) == 1 else 0


def fenced_out(plan_: Plan, found: dict[str, Entry | None]) -> bool:
    """Whether the writer no longer leads."""
    if plan_.fence is None:
        return False
    entry = found.get(plan_.fence.key)
    return entry is None or entry.create_revision != plan_.fence.revision


def answered(plan_: Plan, found: dict[str, Entry | None]) -> Answered | None:
    """The record of the answer given before, if that is what stood in the way."""
    if plan_.idempotency is None:
        return None
    entry = found.get(plan_.idempotency.key)
    if entry is None or holds(plan_.idempotency, entry):
        return None
    return Answered(RequestRecord.FromString(entry.value), entry.mod_revision)


def conflict(plan_: Plan, found: dict[str, Entry | None]) -> Conflict | None:
    """What has changed; None if everything is as it was expected."""
    stale = [compare for compare in plan_.compares if not holds(compare, found.get(compare.key))]
    if not stale:
        return None
    first = stale[0]
    entry = found.get(first.key)
    return Conflict(
        {compare.key: there.mod_revision if (there := found.get(compare.key)) else 0 for compare in stale},
        name=name_of(first.key, plan_.held),
        expected=_expected(first),
        found="absent" if entry is None else f"revision {entry.mod_revision}",
    )


def holds(compare: Compare, entry: Entry | None) -> bool:
    """Whether a comparison holds for what stands at its key."""
    match compare:
        case Created(_, revision):
            return (entry.create_revision if entry else 0) == revision
        case Modified(_, revision):
            return (entry.mod_revision if entry else 0) == revision


def name_of(key: str, held: Sequence[Held[Any]] = ()) -> str:
    """The resource name at a key where it can be told, else the key."""
    for document in held:
        if document.key == key:
            return document.name
    parts = key.split("/", 4)
    is_document = key.startswith(ROOT + "/") and len(parts) == 5 and parts[2] not in {"holds", "elections", "instances"}
    return parts[4] if is_document else key


def _document(change: Change, area: str, stamp: Stamp, new_uid: Callable[[], str]) -> Held[Any] | None:
    match change:
        case Create(kind, name, message, lease):
            _check_area(kind, area)
            return documents.created(kind, name, message, new_uid(), lease, stamp)
        case Update(held, message):
            _check_area(held.kind, area)
            return documents.updated(held, message, stamp)
        case Delete(held):
            _check_area(held.kind, area)
    return None


def _step(change: Change, document: Held[Any] | None, fence: int) -> tuple[Compare, Write]:
    if document is not None:
        before = change.held.mod_revision if isinstance(change, Update) else 0
        return Modified(document.key, before), Put(document.key, documents.encoded(document, fence), document.lease)
    if isinstance(change, Delete):
        return Modified(change.held.key, change.held.mod_revision), Remove(change.held.key)
    assert isinstance(change, Confirm)
    return Created(change.key, change.revision), Unlease(change.key)


def _add_guard(compares: dict[str, Compare], guard: Guard) -> None:
    """Add a guard; one on a key that is written as well must expect what the write does."""
    compare = Modified(guard.key, guard.mod_revision)
    standing = compares.get(guard.key)
    if standing is None:
        compares[guard.key] = compare
    elif standing != compare:
        raise ValueError(f"{guard.key} is guarded at another revision than it is written over")


def _expected(compare: Compare) -> str:
    return f"revision {compare.revision}" if compare.revision else "absent"


def _check_area(kind: Kind[Any], area: str) -> None:
    if kind.area != area:
        raise ValueError(f"{area} may not write {kind.prefix}: it belongs to {kind.area}")
