"""The history a client has seen, and whether the server still has it: a store restored from an older copy has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from suanmesh_etcd3 import endpoints as ep

LINEAR = frozenset(method.path for method in (ep.RANGE, ep.PUT, ep.DELETE_RANGE, ep.TXN))
"""Calls whose answers tell a revision no older than any answer before they were sent."""


class History:
    """Notes what answers say of the cluster. What was kept of a history that is gone means nothing any more."""

    def __init__(self) -> None:
        self.number = 0
        """Grows whenever the server turns out to have another history."""
        self.revision = 0
        """The newest that was seen."""
        self.streams: set[Any] = set()
        """Calls that are cancelled when the history is another: who reads from one asks for `number` then."""
        self.tell: Callable[[], None] = lambda: None
        """Called then."""
        self._cluster = 0

    def seen(self) -> tuple[int, int]:
        """What is known before a call is sent; to be handed to `note` with its answer."""
        return self.number, self.revision

    def saw(self, revision: int) -> None:
        """A change of that revision was delivered."""
        self.revision = max(self.revision, revision)

    def note(self, path: str, request: Any, header: Any, before: tuple[int, int]) -> bool:
        """Take in an answer; whether it shows that the history is another."""
        number, revision = before
        if path not in LINEAR or getattr(request, "serializable", False) or number != self.number:
            return False
        other = self._cluster not in (0, header.cluster_id)
        if not other and header.revision >= revision:
            self._cluster, self.revision = header.cluster_id, max(self.revision, header.revision)
            return False
        self.number += 1
        self._cluster, self.revision = header.cluster_id, header.revision
        self.tell()
        for stream in self.streams:
            stream.cancel()
        return True
