"""Mirrors: all documents of a kind, kept up to date by a watch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from itertools import islice
from typing import Generic

from suanmesh_store.layout import Kind, M
from suanmesh_store.ports import Store
from suanmesh_store.tally import Tally
from suanmesh_store.values import Batch, Held

REMOVALS_MAX = 10_000
"""Removed documents a mirror remembers; a reader that knows less than the oldest of them reads everything anew."""


class Dirty:
    """Names to look at; one that is added twice before it is taken is looked at once."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Begin with some."""
        self._names: dict[str, None] = dict.fromkeys(names)
        self._in_hand: set[str] = set()
        self._some = asyncio.Event()
        if self._names:
            self._some.set()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._names)

    def add(self, names: Iterable[str]) -> None:
        """Add some; a name that waits already keeps its turn."""
        self._names.update(dict.fromkeys(names))
        if self._names:
            self._some.set()

    async def some(self) -> None:
        """Wait until there is one."""
        while not self._names:
            self._some.clear()
            await self._some.wait()

    def take_many(self, most: int) -> list[str]:
        """Those that wait longest, at most so many, for a consumer that alone takes from here."""
        names = list(islice(self._names, most))
        for name in names:
            del self._names[name]
        return names

    async def take(self) -> str:
        """The one that waits longest and is in nobody's hands."""
        while (name := next((name for name in self._names if name not in self._in_hand), None)) is None:
            self._some.clear()
            await self._some.wait()
        del self._names[name]
        return name

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[str, None]:
        """The one to look at now, in the caller's hands until it leaves: added meanwhile, it waits until then."""
        name = await self.take()
        self._in_hand.add(name)
        try:
            yield name
        finally:
            self._in_hand.discard(name)
            if name in self._names:
                self._some.set()


class Mirror(Generic[M]):
    """A copy of all documents of a kind, at one revision at a time. Open it with `open_mirror`, start `run` as a task.

    What it hands out is shared: copy a message before changing it.
    """

    def __init__(self, store: Store, kind: Kind[M]) -> None:
        """Empty until it is loaded."""
        self._store = store
        self._kind = kind
        self._held: dict[str, Held[M]] = {}
        self._revision = 0
        self._loaded = asyncio.Event()
        self._moved = asyncio.Event()
        self._dirty: list[Dirty] = []
        self._dirty_of: dict[str, list[Dirty]] = {}
        self._tallies: list[Tally[M]] = []
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
        """All documents, sorted by name."""
        return [self._held[name] for name in sorted(self._held)]

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._held)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._held)

    def counted_by(self, word: Callable[[M], str]) -> Tally[M]:
        """A count of all documents by a word of each, kept as they change."""
        tally = Tally(word)
        for name, held in self._held.items():
            tally.note(name, held.message)
        self._tallies.append(tally)
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
        changed = [
            name
            for name in sorted(fresh.keys() | self._held.keys())
            if _version(fresh.get(name)) != _version(self._held.get(name))
        ]
        self._held = fresh
        self._since = snapshot.revision
        self._removed.clear()
        self._advance(snapshot.revision, changed)
        self._loaded.set()

    async def run(self) -> None:
        """Follow all changes until cancelled."""
        if not self._loaded.is_set():
            await self.load()
        async with aclosing(self._store.watch(self._kind, self._revision, known=self.values())) as batches:
            async for batch in batches:
                self._apply(batch)

    async def changes(self, *, existing: bool = True) -> AsyncGenerator[str, None]:
        """Names of what changed, for one consumer; begins with all there are unless told otherwise.

        It tells where to look, not what happened: several changes of one document may come as one.
        """
        dirty = Dirty(sorted(self._held) if existing else ())
        self._dirty.append(dirty)
        try:
            while True:
                yield await dirty.take()
        finally:
            self._dirty.remove(dirty)

    def feed(self, dirty: Dirty) -> None:
        """Add to `dirty` all names there are, and from now on every one that changes."""
        dirty.add(sorted(self._held))
        self._dirty.append(dirty)

    @contextmanager
    def following(self, dirty: Dirty | None = None) -> Iterator[Dirty]:
        """What changes from now on, for a consumer that first reads what there is and that ends one day.

        One that follows several mirrors gives its own `dirty` to each.
        """
        dirty = Dirty() if dirty is None else dirty
        self._dirty.append(dirty)
        try:
            yield dirty
        finally:
            self._dirty.remove(dirty)

    @contextmanager
    def following_one(self, name: str) -> Iterator[Dirty]:
        """As `following`, of one document: however many follow others, a change wakes only who waits for it."""
        dirty = Dirty()
        self._dirty_of.setdefault(name, []).append(dirty)
        try:
            yield dirty
        finally:
            self._dirty_of[name].remove(dirty)
            if not self._dirty_of[name]:
                del self._dirty_of[name]

    async def wait_for(self, revision: int) -> None:
        """Wait until a write of its kind at this revision is seen, so that one reads what one wrote."""
        while self._revision < revision:
            await self._moved.wait()

    def _apply(self, batch: Batch[M]) -> None:
        for change in batch.changes:
            if change.held is None:
                self._held.pop(change.name, None)
                self._remember_removed(batch.revision, change.name)
            else:
                self._held[change.name] = change.held
        self._advance(batch.revision, [change.name for change in batch.changes])

    def _remember_removed(self, revision: int, name: str) -> None:
        self._removed.append((revision, name))
        if len(self._removed) > REMOVALS_MAX:
            self._since = self._removed.popleft()[0]

    def _advance(self, revision: int, names: list[str]) -> None:
        self._revision = revision
        for tally in self._tallies:
            for name in names:
                held = self._held.get(name)
                tally.note(name, None if held is None else held.message)
        for dirty in self._dirty:
            dirty.add(names)
        for name in names if self._dirty_of else ():
            for dirty in self._dirty_of.get(name, ()):
                dirty.add((name,))
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


async def open_mirror(store: Store, kind: Kind[M]) -> Mirror[M]:
    """A mirror that is loaded; its `run` is still to be started as a task."""
    mirror = Mirror(store, kind)
    await mirror.load()
    return mirror


def _version(held: Held[M] | None) -> int:
    return held.mod_revision if held else 0
