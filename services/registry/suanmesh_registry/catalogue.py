"""The catalogue: every pool with its site and what it has free, as columns that a search reads all at once.

Both mirrors feed it with each change, reports with what is free; a search sees all of it as of one moment, and at least
as of the revisions that the mirrors have reached.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Generic

import numpy as np
from google.protobuf.message import Message

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.type.v1 import capacity_pb2
from suanmesh_kernel.filter_fields import Condition, Field
from suanmesh_kernel.names import parent
from suanmesh_registry.domain.change_log import ChangeLog
from suanmesh_registry.domain.columns import Mask, Table, widened
from suanmesh_registry.domain.filters import Filter
from suanmesh_registry.domain.rows import Order, Rows
from suanmesh_registry.fields import Reader, fields_of
from suanmesh_store import Changed, Mirror
from suanmesh_store.layout import M

_FREE, _SITE = "free.", "site."


@lru_cache(maxsize=1)
def fields() -> dict[str, Field]:
    """Every field a filter may name: those of `Pool`, and beside them `free.*` and `site.*`."""
    roots = (("", pool_pb2.Pool), (_FREE, capacity_pb2.Capacity), (_SITE, site_pb2.Site))
    return {prefix + path: field for prefix, kind in roots for path, field in fields_of(kind).items()}


class Catalogue:
    """An index of pools. It never waits, so nobody sees it half changed."""

    def __init__(self, sites: Mirror[site_pb2.Site], pools: Mirror[pool_pb2.Pool]) -> None:
        """Take in what the mirrors hold, and from now on all that changes."""
        self._of_pools, self._of_free, self._of_sites = (
            Indexed(kind) for kind in (pool_pb2.Pool, capacity_pb2.Capacity, site_pb2.Site)
        )
        self._pool_rows, self._site_rows = Rows(), Rows()
        self._site_of = np.zeros(0, np.int32)
        self._site_there = np.zeros(0, np.bool_)
        self._states: dict[str, pool_pb2.PoolState] = {}
        self.reported = ChangeLog()
        """Which pools have another state than before, as far as it tells more than load and time."""
        self._order = Order()
        sites.project(_Fed(self._take_sites))
        pools.project(_Fed(self._take_pools))

    def search(self, keeps: Filter, *, after: str = "", limit: int) -> list[str]:
        """The names of the first pools behind `after` that are kept, in order; only those whose site there is."""
        begin = bisect_right(self._order.names, after)
        rows = self._order.rows[begin:]
        if not len(rows):
            return []
        kept = keeps(self)[rows] & self._site_there[self._site_of[rows]]
        return [self._order.names[begin + at] for at in np.flatnonzero(kept)[:limit].tolist()]

    def observe(self, states: Iterable[pool_pb2.PoolState]) -> bool:
        """Take in what pools have free, as their agent says; answers whether one has another amount than before."""
        changed = False
        for state in states:
            before, self._states[state.name] = self._states.get(state.name), state
            if before is None or not _same_free(before, state) or before.reason != state.reason:
                self.reported.changed(state.name)
            if before is not None and _same_free(before, state):
                continue
            changed = True
            row = self._pool_rows.get(state.name)
            if row is not None:
                self._put_free(row, state)
        return changed

    def forget(self, names: Iterable[str]) -> None:
        """Nothing is known any more of what these have free: their agent is not heard."""
        for name in names:
            if self._states.pop(name, None) is None:
                continue
            self.reported.gone(name)
            if (row := self._pool_rows.get(name)) is not None:
                self._of_free.table.clear(row)

    def state(self, pool: str) -> pool_pb2.PoolState | None:
        """What the pool's agent said last; None while it is not heard."""
        return self._states.get(pool)

    @property
    def rows(self) -> int:
        """How many rows a filter reads."""
        return self._pool_rows.used

    def matching(self, path: str, condition: Condition) -> Mask:
        """Which rows have a value at `path` that meets the condition."""
        if path.startswith(_SITE):
            rows = self._site_rows.used
            return self._of_sites.matching(path.removeprefix(_SITE), condition, rows)[self._site_of[: self.rows]]
        index = self._of_free if path.startswith(_FREE) else self._of_pools
        return index.matching(path.removeprefix(_FREE), condition, self.rows)

    def _take_sites(self, changes: Sequence[Changed[site_pb2.Site]]) -> None:
        for name, held in {change.name: change.held for change in changes}.items():
            row = self._site_rows.get(name)
            stands = row is not None and bool(self._site_there[row])
            if held is not None:
                at = row if stands and row is not None else self._take_site(name)
                self._of_sites.put(at, held.message)
                self._site_there[at] = True
            elif stands and row is not None:
                self._of_sites.table.clear(row)
                self._site_there[row] = False
                self._site_rows.leave(name)

    def _take_pools(self, changes: Sequence[Changed[pool_pb2.Pool]]) -> None:
        added, removed = {}, []
        for name, held in {change.name: change.held for change in changes}.items():
            row = self._pool_rows.get(name)
            if held is None:
                if row is not None:
                    self._remove_pool(name, row)
                    removed.append(name)
                continue
            if row is None:
                row = added[name] = self._add_pool(name)
            self._of_pools.put(row, held.message)
        self._order.update(added, removed)

    def _add_pool(self, name: str) -> int:
        row = self._pool_rows.take(name)
        self._site_of = widened(self._site_of, row + 1)
        self._site_of[row] = self._take_site(parent(name))
        if (state := self._states.get(name)) is not None:
            self._put_free(row, state)
        return row

    def _remove_pool(self, name: str, row: int) -> None:
        self._of_pools.table.clear(row)
        self._of_free.table.clear(row)
        self._pool_rows.leave(name)
        self._site_rows.leave(parent(name))

    def _take_site(self, name: str) -> int:
        row = self._site_rows.take(name)
        self._site_there = widened(self._site_there, row + 1)
        return row

    def _put_free(self, row: int, state: pool_pb2.PoolState) -> None:
        if state.HasField("free"):
            self._of_free.put(row, state.free)
        else:
            self._of_free.table.clear(row)


class Indexed:
    """The columns of one kind of message."""

    def __init__(self, kind: type[Message]) -> None:
        """Begin with no row."""
        self.table = Table(fields_of(kind))
        self._reader = Reader(kind)
        self.matching = self.table.matching

    def put(self, row: int, message: Message) -> None:
        """Let a row have a message's values."""
        self.table.put(row, self._reader.cells(message))


@dataclass(frozen=True, slots=True)
class _Fed(Generic[M]):
    """What a mirror feeds with its changes."""

    apply: Callable[[Sequence[Changed[M]]], None]


def _same_free(one: pool_pb2.PoolState, other: pool_pb2.PoolState) -> bool:
    return one.HasField("free") == other.HasField("free") and one.free == other.free
