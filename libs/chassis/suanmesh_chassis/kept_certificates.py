"""The certificates that a process keeps good: its own, and those of programs beside it that cannot ask, as etcd."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from suanmesh_chassis.process import Process
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.lifetimes import retry_after_s
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk import Resolver, Tls
from suanmesh_sdk.renewal import Renewal, asking

log = structlog.get_logger()

LOOK_S = 600.0
"""How often a certificate is looked at at least, seconds: a command may have put another in its place."""


class KeptCertificates:
    """Renews what is shown by a process, and by those whose folders it is told of, over the registry."""

    def __init__(self, process: Process, resolver: Resolver, *, via: str = "") -> None:
        """With `via` the registry is reached through a gateway."""
        self._process = process
        self._resolver = resolver
        self._via = via

    async def run(self) -> None:
        """Keep them for as long as the process lives; what does not lie in files is left as it is."""
        process = self._process
        kept = {"own": process.tls.tls} | {_kind(each): Tls.of_folder(each) for each in process.common.renews}
        async with AsyncExitStack() as closing, asyncio.TaskGroup() as tasks:
            for identity, tls in kept.items():
                if tls.key_file is None:
                    continue
                mesh = process.mesh_of(tls, self._resolver, via=self._via)
                closing.push_async_callback(mesh.close)
                keeper = _Keeper(identity, Renewal(tls, process.clock, asking(mesh.registry)), process.clock)
                tasks.create_task(keeper.run())


class _Keeper:
    """Looks after one certificate."""

    def __init__(self, identity: str, renewal: Renewal, clock: Clock) -> None:
        self._identity = identity
        self._renewal = renewal
        self._clock = clock

    async def run(self) -> None:
        """For good."""
        while True:
            pause_s = await self._looked_after()
            await asyncio.sleep(pause_s)

    async def _looked_after(self) -> float:
        """How long nothing is to be done, seconds."""
        pause_s = LOOK_S
        try:
            life = self._renewal.life()
            pause_s = retry_after_s(life.begin, life.end)
            if await self._renewal.renew_if_due():
                life = self._renewal.life()
                log.info("certificate renewed", identity=self._identity, until=life.end.isoformat())
        except (Refusal, OSError) as fault:
            reason = fault.reason if isinstance(fault, Refusal) else "FILES"
            log.warning("certificate not renewed", identity=self._identity, reason=reason, message=str(fault))
            return pause_s
        left_s = (life.due - self._clock.now()).total_seconds()
        return min(left_s, LOOK_S) if left_s > 0 else pause_s


def _kind(folder: Path) -> str:
    """What an identity is called in logs: as its folder is."""
    return folder.name
