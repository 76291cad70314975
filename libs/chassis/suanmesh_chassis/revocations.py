"""Who is refused although their certificate is good: as the registry has it in etcd, watched by every service, and told
to agents with the answers to their reports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import structlog

from suanmesh.registry.v1.revocation_pb2 import Revocation
from suanmesh_chassis.ca import common_name
from suanmesh_chassis.call import Caller
from suanmesh_kernel.names import last
from suanmesh_kernel.refusals import PermissionDenied, Refusal, Unauthenticated, Unavailable
from suanmesh_kernel.revocations import is_revoked
from suanmesh_sdk.status import MESH_DOMAIN
from suanmesh_store import Held, Store, WorkQueue, open_mirror
from suanmesh_store.layout import REVOCATIONS

log = structlog.get_logger()

RETRY_S = 0.5


def nobody(caller: Caller) -> Refusal | None:
    """For whoever cannot know of revocations: refuses nobody."""
    return None


class Refused:
    """Everybody who is refused. Call it with a caller for the refusal, or None."""

    def __init__(self) -> None:
        self._revoked: Mapping[str, datetime] = {}
        self.changed: Callable[[], None] = lambda: None
        """Told after every change."""

    def __call__(self, caller: Caller) -> Refusal | None:
        """Why `caller` is refused: its certificate is revoked, or its party suspended."""
        if not self._revoked or not (caller.party or caller.site):
            return None
        if caller.party and f"party/{last(caller.party)}" in self._revoked:
            message = f"{caller.party} is suspended: none of its users is served"
            return PermissionDenied("CALLER_SUSPENDED", message, domain=MESH_DOMAIN, name=caller.party)
        if caller.since is not None and is_revoked(common_name(caller.principal), caller.since, self._revoked):
            message = f"the certificate of {caller.principal} was revoked"
            return Unauthenticated("CERTIFICATE_REVOKED", message, domain=MESH_DOMAIN, name=caller.principal)
        return None

    def take(self, revoked: Mapping[str, datetime]) -> None:
        """From now on these are all: from when certificates are good, by the path of their identity."""
        self._revoked = revoked
        self.changed()


class Revocations(Refused):
    """As etcd has them. While it cannot be reached, what was known last stands."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store
        self.ready = asyncio.Event()
        """Set once all have been read: nobody is served before."""

    async def run(self) -> None:
        """Follow etcd for as long as the process lives."""
        while True:
            try:
                mirror = await open_mirror(self._store, REVOCATIONS)
                break
            except Unavailable as refusal:
                log.warning("revocations interrupted", reason=refusal.reason, message=refusal.message)
            await asyncio.sleep(RETRY_S)
        news = WorkQueue()
        with mirror.following(news):
            self.take(_begins(mirror.values()))
            self.ready.set()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(mirror.run())
                while True:
                    await news.some()
                    news.take_many(len(news))
                    self.take(_begins(mirror.values()))


def _begins(held: list[Held[Revocation]]) -> dict[str, datetime]:
    return {each.name: each.message.valid_from.ToDatetime(UTC) for each in held}
