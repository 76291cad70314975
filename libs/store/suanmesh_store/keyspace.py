"""The narrow part of etcd that documents need, so that one store runs on etcd and on its twin in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from suanmesh_store.ports import Leadership, RoundLease


@dataclass(frozen=True, slots=True)
class Entry:
    """One key and what etcd knows of it."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int


@dataclass(frozen=True, slots=True)
class Created:
    """Holds if the key's create_revision is this; 0 means absent."""

    key: str
    revision: int


@dataclass(frozen=True, slots=True)
class Modified:
    """Holds if the key's mod_revision is this; 0 means absent."""

    key: str
    revision: int


Compare = Created | Modified


@dataclass(frozen=True, slots=True)
class Put:
    """Write a value, on a lease or none."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Unlease:
    """Take the key off its lease, keep its value."""

    key: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete the key."""

    key: str


Write = Put | Unlease | Remove


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a transaction did. When a comparison failed, `found` is what stands at every key it compared."""

    succeeded: bool
    revision: int
    found: dict[str, Entry | None]


@dataclass(frozen=True, slots=True)
class Listing:
    """Entries under a prefix, sorted by key, at one revision: all of them, or a page that `more` follow."""

    revision: int
    entries: list[Entry]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Events:
    """What became of keys in one or more whole revisions, in order; None where one is gone."""

    revision: int
    changes: list[tuple[str, Entry | None]]


class KeyspaceErrorKind(Enum):
    """Why a keyspace could not do what it was asked."""

    UNREACHABLE = "unreachable"
    UNKNOWN = "outcome unknown"
    LEASE_GONE = "lease gone"
    FULL = "out of space"
    TOO_LARGE = "too large"
    REFUSED = "refused"


class KeyspaceError(Exception):
    """A call to the keyspace failed; unless UNKNOWN, it surely changed nothing."""

    def __init__(self, kind: KeyspaceErrorKind, message: str) -> None:
        """Say of which kind, and what the keyspace said."""
        super().__init__(message)
        self.kind = kind


class Keyspace(Protocol):
    """Keys with revisions, transactions, watches, leases and elections. Every method may raise KeyspaceTrouble."""

    async def get(self, key: str) -> Entry | None:
        """One key as it is now."""

    async def get_many(self, keys: Sequence[str]) -> list[Entry | None]:
        """Some keys at one revision, in their order."""

    async def scan(self, prefix: str) -> Listing:
        """All keys under a prefix at one revision."""

    async def page(self, prefix: str, after: str, limit: int) -> Listing:
        """The first `limit` keys under a prefix behind one, as they are now."""

    async def txn(self, compares: Sequence[Compare], writes: Sequence[Write]) -> Outcome:
        """Do all writes if all comparisons hold, else read what is there."""

    def watch(
        self, prefix: str, after_revision: int, known: Mapping[str, int] | None = None
    ) -> AsyncGenerator[Events, None]:
        """Whole revisions in order, none lost, none twice.

        When history is compacted away, what is now is told against `known`, the keys as of `after_revision` with their
        mod_revisions; a key that is neither in it nor was told cannot be told to be gone.
        """

    async def lease(self, ttl_s: float, *, kept: bool) -> RoundLease:
        """A new lease, kept alive or not."""

    async def campaign(self, prefix: str, value: bytes, ttl_s: float) -> Leadership:
        """Wait until this candidate leads."""

    async def depose(self, prefix: str, value: bytes) -> None:
        """End the term of whoever leads with `value`, for a process that is gone; nothing where another leads."""
