"""What is read from a store and what is asked of it: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic

from google.protobuf.message import Message

from suanmesh.type.v1.document_pb2 import RequestRecord
from suanmesh_kernel.refusals import Aborted
from suanmesh_store.layout import Kind, M


@dataclass(frozen=True, slots=True)
class Held(Generic[M]):
    """A document as it was read. The message is shared with other readers: change a `draft` of it."""

    kind: Kind[M]
    name: str
    message: M
    uid: str
    version: int
    mod_revision: int
    lease: int
    principal: str
    request_id: str
    traceparent: str
    update_time: datetime

    def draft(self) -> M:
        """A copy of the message, to change and to write back."""
        copy = type(self.message)()
        copy.CopyFrom(self.message)
        return copy

    @property
    def etag(self) -> str:
        """The uid with the document's own counter, so that a recreated document has another one."""
        return f"{self.uid}-{self.version}"

    @property
    def key(self) -> str:
        """Where it is kept."""
        return self.kind.key(self.name)


@dataclass(frozen=True, slots=True)
class Create(Generic[M]):
    """Keep a new document; the commit fails where one of that name stands."""

    kind: Kind[M]
    name: str
    message: M
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Update(Generic[M]):
    """Put `message` in the place of `held`, on the lease that `held` is on."""

    held: Held[M]
    message: M


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the document that was read."""

    held: Held[Any]


@dataclass(frozen=True, slots=True)
class Confirm:
    """Take a hold off its lease and leave its value alone; the commit fails unless it is the one made at `revision`.

    `holds.confirmed` makes one of a token.
    """

    key: str
    revision: int


Change = Create[Any] | Update[Any] | Delete | Confirm


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The commit fails unless the key was last written at this revision; 0 means that it is absent."""

    key: str
    mod_revision: int


Guard = Unchanged | Held[Any]


@dataclass(frozen=True, slots=True)
class Author:
    """On whose behalf something is written."""

    principal: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """Which request an answer was given to."""

    principal: str
    request_id: str
    method: str


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """An answer to remember with the effect, so that the repeated request gets it again."""

    key: IdempotencyKey
    body_digest: bytes
    answer: Message
    over: int = 0
    """Revision of the record it replaces: that of a batch of which some items were still open; 0 for none."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What is kept of the answer to a request."""

    record: RequestRecord
    revision: int = 0
    """When it was kept; 0 where the record is not in etcd."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit left: one `Held` per Create and Update, in their order."""

    revision: int
    held: tuple[Held[Any], ...]


@dataclass(frozen=True, slots=True)
class Listing(Generic[M]):
    """Documents sorted by name, all read at one revision."""

    revision: int
    held: tuple[Held[M], ...]


@dataclass(frozen=True, slots=True)
class Changed(Generic[M]):
    """What became of one document; None where it is gone."""

    name: str
    held: Held[M] | None


@dataclass(frozen=True, slots=True)
class Batch(Generic[M]):
    """All changes of one or more whole revisions, in order, or those found by a relist; `revision` is the last."""

    revision: int
    changes: tuple[Changed[M], ...]


@dataclass(frozen=True, slots=True)
class LeasedKey:
    """A bare key on a lease: a hold, a mark of life, a discovery record."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int


@dataclass(frozen=True, slots=True)
class LeasedKeys:
    """Bare keys sorted, all read at one revision."""

    revision: int
    tokens: tuple[LeasedKey, ...]


@dataclass(frozen=True, slots=True)
class LeasedKeyBatch:
    """What became of bare keys in one or more whole revisions, in order; None where one is gone."""

    revision: int
    changes: tuple[tuple[str, LeasedKey | None], ...]


class Conflict(Aborted):
    """Something that a commit relied on has changed since.

    `revisions` are those at which what has changed was written last, by key; 0 where it is absent, or is no
    key of etcd's.
    """

    def __init__(self, revisions: Mapping[str, int], *, name: str, expected: str, found: str) -> None:
        """The first of them is told as facts."""
        message = f"{name} has changed since it was read: expected {expected}, found {found}"
        super().__init__("CONFLICT", message, domain="mesh.suanmesh", name=name, expected=expected, found=found)
        self.revisions = revisions

    @property
    def keys(self) -> tuple[str, ...]:
        """Of all that has changed."""
        return tuple(self.revisions)


class AlreadyAnswered(Exception):
    """The request was answered before; nothing was written. The chassis gives the kept answer again."""

    def __init__(self, answered: Answered) -> None:
        """Carry what was kept."""
        super().__init__(f"{answered.record.method} was answered before")
        self.answered = answered

    @property
    def answer(self) -> bytes:
        """The serialized answer."""
        return self.answered.record.answer
