"""What is written to records and read from them: values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, Generic

from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_store.layout import M
from suanmesh_store.records.kinds import RecordKind
from suanmesh_store.values import AlreadyAnswered, Author, IdempotencyRecord

ABSENT = ""
"""The etag of what is not there."""


@dataclass(frozen=True, slots=True)
class Record(Generic[M]):
    """A record as it was read. The message is the reader's own, unless it is from a mirror: then change a `draft`."""

    name: str
    message: M
    uid: str
    version: int
    sequence: int
    """That of its last change; greater than that of every change before it."""
    principal: str
    request_id: str
    traceparent: str
    update_time: datetime

    @property
    def etag(self) -> str:
        """The uid with the record's own counter, so that a recreated record has another one."""
        return f"{self.uid}-{self.version}"

    def draft(self) -> M:
        """A copy of the message, to change and to write back."""
        copy = type(self.message)()
        copy.CopyFrom(self.message)
        return copy


@dataclass(frozen=True, slots=True)
class Put(Generic[M]):
    """Keep a record."""

    kind: RecordKind[M]
    name: str
    message: M
    expected: str | None = None
    """The etag of the record that it takes the place of, ABSENT for a new one; None where that does not matter."""


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a record; one that is not there stays so."""

    kind: RecordKind[Any]
    name: str
    expected: str | None = None
    """The etag that it must have; None where that does not matter."""


@dataclass(frozen=True, slots=True)
class Write:
    """Changes of which all are made or none, and the answer to remember with them."""

    changes: Sequence[Put[Any] | Remove]
    remember: IdempotencyRecord | None = None
    author: Author | None = None
    traceparent: str | None = None
    """The trace that it is part of; None for that of the caller."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a write left: its sequence, and one record per Put, in their order."""

    sequence: int
    records: tuple[Record[Any], ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """What a transaction of this process has left: all that has changed after one sequence, up to another."""

    after: int
    sequence: int
    changes: Mapping[tuple[str, str], Record[Any] | None]
    """By collection and name; None where it was removed."""

    def of(self, kind: RecordKind[M]) -> list[tuple[str, Record[M] | None]]:
        """Those of one kind."""
        return [(name, record) for (collection, name), record in self.changes.items() if collection == kind.collection]


Outcome = Written | Refusal | AlreadyAnswered
"""What became of a write. Refusals are Conflict, InvalidArgument (`DOCUMENT_TOO_LARGE`), Unavailable (`NOT_LEADER`)."""


@dataclass(frozen=True, slots=True)
class Feed(Generic[M]):
    """What has changed after a sequence, up to `sequence`, in its order: each record once, as it stands now."""

    sequence: int
    changes: tuple[tuple[str, Record[M] | None], ...]
    """Name and record; None where it was removed."""
    more: bool = False
    """Whether there is more after `sequence`."""
    reset: bool = False
    """Whether removals since then are forgotten: read everything anew, then go on after `sequence`."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which store this is, whose it is, and which term led it last."""

    store: str
    node: str
    fence: int
    node_id: str = ""
    generation: str = ""
    number: int = 0
    """These three as of `agreement.Belonging`."""


def written(outcome: Outcome) -> Written:
    """What a write left. Raises what refused it."""
    if isinstance(outcome, Written):
        return outcome
    raise outcome


def not_leading(fence: int, claimed: int) -> Unavailable:
    """Why a term may not write."""
    message = f"term {claimed} has claimed the records, term {fence} leads with them no more"
    return Unavailable("NOT_LEADER", message, domain="mesh.suanmesh", leader="")


def feed_of(changes: Iterable[tuple[int, str, Record[M] | None]], newest: int, limit: int) -> Feed[M]:
    """The first changes of those after a sequence, in its order; `newest` is the sequence up to which they are told."""
    ordered = sorted(changes, key=itemgetter(0))
    taken, more = ordered[:limit], len(ordered) > limit
    return Feed(taken[-1][0] if more else newest, tuple((name, record) for _, name, record in taken), more)
