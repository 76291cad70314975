"""Whom this site's data plane refuses although their certificates are good: told with the answers to its reports."""

from __future__ import annotations

import base64
import sqlite3
from contextlib import suppress
from datetime import UTC

from suanmesh.registry.v1.revocation_pb2 import Revocations
from suanmesh_agent.journal import Journal
from suanmesh_chassis.revocations import Refused

_FACT = "refused"


class KeptRefused(Refused):
    """What was told last also stands after a restart, before the mesh is heard again."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal
        self._hear(Revocations.FromString(base64.b64decode(journal.fact(_FACT) or "")))

    def told(self, all_of_them: Revocations) -> None:
        """Refuse these from now on and nobody else; what they have under way ends."""
        self._hear(all_of_them)
        with suppress(sqlite3.Error):  # a disk that is full: it is told again with the next stream of reports
            self._journal.remember(_FACT, base64.b64encode(all_of_them.SerializeToString()).decode())

    def _hear(self, all_of_them: Revocations) -> None:
        self.take({each.name: each.valid_from.ToDatetime(UTC) for each in all_of_them.revocations})
