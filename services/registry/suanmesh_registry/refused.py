"""Whom data planes are to refuse: what answers to agents' reports tell."""

from __future__ import annotations

from suanmesh.registry.v1.revocation_pb2 import Revocation, Revocations
from suanmesh_store import Mirror

TOLD_MAX = 10_000
"""Each lasts for as long as a certificate may: so many make a message of about a megabyte."""


class RefusedList:
    """All revocations in one message."""

    def __init__(self, revocations: Mirror[Revocation]) -> None:
        self._mirror = revocations
        self._revision = -1
        self._list = Revocations()

    def current(self) -> Revocations:
        """As they are now; the same object for as long as nothing changes."""
        if self._revision != self._mirror.revision:
            self._revision = self._mirror.revision
            latest = sorted((each.message for each in self._mirror.values()), key=_begin)[-TOLD_MAX:]
            told = sorted(latest, key=lambda each: each.name)
            made = Revocations(revocations=[Revocation(name=each.name, valid_from=each.valid_from) for each in told])
            if made != self._list:
                self._list = made
        return self._list


def _begin(revocation: Revocation) -> int:
    return revocation.valid_from.ToNanoseconds()
