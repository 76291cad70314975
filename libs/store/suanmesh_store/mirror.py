"""Mirrors: all documents of a kind, kept up to date by a watch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Generic

from suanmesh_store.followed import Followed
from suanmesh_store.layout import Kind, M
from suanmesh_store.ports import Store
from suanmesh_store.projections import Projection, SortedNames, Tally
from suanmesh_store.values import Batch, Changed, Held

REMOVALS_MAX = 10_000
"""Removed documents a mirror remembers; a reader that knows less than the oldest of them reads everything anew."""


class Mirror(Followed, Generic[M]):
    """A copy of all documents of a kind, at one revision at a time. Open it with `open_mirror`, start `run` as a task.

    What it hands out is shared: copy a message before changing it.
    """

    def __init__(self, store: Store, kind: Kind[M]) -> None:
        """Empty until it is loaded."""
        super().__init__()
        self._store = store
        self._kind = kind
        self._held: dict[str, Held[M]] = {}
        self._revision = 0
        self._loaded = asyncio.Event()
        self._projections: list[Projection[M]] = []
        self._order = SortedNames()
        self._since = 0
        self._removed: deque[tuple[int, str]] = deque()

    @property
    def revision(self) -> int:
        """Revision up to which it has seen every change of its kind."""
        return self._revision

    def get(self, name: str) -> Held[M] | None:
        """One document."""
        return self._held.get(name)

    def values(self) -> list[Held[M]]:
        """All documents, sorted by name. A copy: who needs a part takes `scan`, who needs a sum a projection."""
        return [self._held[name] for name in self._order.after()]

    def names(self) -> list[str]:
        """All names, sorted."""
        return list(self._order.after())

    def scan(self, after: str = "", *, under: str = "") -> Iterator[Held[M]]:
        """The documents behind a name, in order, of those whose names begin with `under`.

        Take what is needed before anything is waited for: the mirror may have moved on afterwards.
        """
        return (self._held[name] for name in self._order.after(after, under))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._held)

    def project(self, projection: Projection[M]) -> None:
        """Feed a projection: with all there is, then with every change before anybody is told of it."""
        projection.apply([Changed(held.name, held) for held in self.scan()])
        self._projections.append(projection)

    def counted_by(self, word: Callable[[M], str]) -> Tally[M]:
        """A count of all documents by a word of each."""
        tally = Tally(word)
        self.project(tally)
        return tally

    def changed_after(self, revision: int) -> list[str] | None:
        """Names of what was written or removed after a revision.

        None where it cannot be told: the revision is not reached yet, or older than what is known of removals.
        """
        if not self._since <= revision <= self._revision:
            return None
        written = [name for name, held in self._held.items() if held.mod_revision > revision]
        return written + [name for at, name in self._removed if at > revision and name not in self._held]

    async def ready(self) -> None:
        """Wait until it has been loaded once."""
        await self._loaded.wait()

    async def load(self) -> None:
        """Read everything at one revision, and tell what differs from before."""
        snapshot = await self._store.snapshot(self._kind)
        fresh = {held.name: held for held in snapshot.held}
        changes = [
            Changed(name, fresh.get(name))
            for name in sorted(fresh.keys() | self._held.keys())
            if _version(fresh.get(name)) != _version(self._held.get(name))
        ]
        self._since = snapshot.revision
        self._removed.clear()
        self._advance(snapshot.revision, changes)
        self._loaded.set()

    async def run(self) -> None:
        """Follow all changes until cancelled."""
        if not self._loaded.is_set():
            await self.load()
        async with aclosing(self._store.watch(self._kind, self._revision, known=self.values())) as batches:
            async for batch in batches:
                self._apply(batch)

    def changes(self, *, existing: bool = True) -> AsyncGenerator[str, None]:
        """Names of what changed, for one consumer; begins with all there are unless told otherwise."""
        return self._names(self._order.after if existing else tuple)

    async def wait_for(self, revision: int) -> None:
        """Wait until a write of its kind at this revision is seen, so that one reads what one wrote."""
        await self._until(lambda: self._revision >= revision)

    def _apply(self, batch: Batch[M]) -> None:
        for change in batch.changes:
            if change.held is None:
                self._remember_removed(batch.revision, change.name)
        self._advance(batch.revision, batch.changes)

    def _remember_removed(self, revision: int, name: str) -> None:
        self._removed.append((revision, name))
        if len(self._removed) > REMOVALS_MAX:
            self._since = self._removed.popleft()[0]

    def _advance(self, revision: int, changes: Sequence[Changed[M]]) -> None:
        self._revision = revision
        self._keep(changes)
        for projection in self._projections:
            projection.apply(changes)
        self._tell([change.name for change in changes])

    def _keep(self, changes: Sequence[Changed[M]]) -> None:
        last = {change.name: change.held for change in changes}
        added = [name for name, held in last.items() if held is not None and name not in self._held]
        removed = [name for name, held in last.items() if held is None and name in self._held]
        for name, held in last.items():
            if held is not None:
                self._held[name] = held
        for name in removed:
            del self._held[name]
        self._order.update(added, removed)


async def open_mirror(store: Store, kind: Kind[M]) -> Mirror[M]:
    """A mirror that is loaded; its `run` is still to be started as a task."""
    mirror = Mirror(store, kind)
    await mirror.load()
    return mirror


def _version(held: Held[M] | None) -> int:
    return held.mod_revision if held else 0
