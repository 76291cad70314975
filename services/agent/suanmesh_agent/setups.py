"""What placements find made ready: made once for each content, by a run on the engine before their tasks, and kept."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh_agent import wire
from suanmesh_agent.carried import Carried
from suanmesh_agent.domain.endings import Ending
from suanmesh_agent.domain.setups import FETCHED, MIRROR, NO_MIRROR, PIP_MOUNT, WHEELS_MOUNT, failed, tail_of
from suanmesh_agent.domain.tasks import SETUP_MOUNT, Artefact, TaskKey, TaskState, setup_key
from suanmesh_agent.mirror import Mirror
from suanmesh_agent.ports import Engine, TaskNotStarted
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.task_run import until_over
from suanmesh_agent.turns import Turns
from suanmesh_chassis.waiting import first_of
from suanmesh_content import FolderError, LeftOut
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.names import last
from suanmesh_kernel.private import private_folder, write_private
from suanmesh_kernel.reasons import StateReason

log = structlog.get_logger()

KEPT_S = 7 * 86_400.0
"""How long what was made is kept since a placement last began with it: longer than any placement runs."""
_LOG_BYTES = 64 * 1024
Inputs = tuple[tuple[str, Path], ...]


class Setups:
    """Those of one site, below `folder`: `keys/<key>` names by its digest the replica that was made."""

    def __init__(
        self, folder: Path, engine: Engine, turns: Turns, clock: Clock, *, host: Sequence[str], mirror: Mirror
    ) -> None:
        """`host` are the interpreters that tasks find: what was made with others is another."""
        self._made = Replicas(folder)
        self._keys = folder / "keys"
        private_folder(self._keys)
        self._engine = engine
        self._turns = turns
        self._clock = clock
        self._host = host
        self._mirror = mirror
        self._making: dict[str, asyncio.Event] = {}
        self._unkept: dict[str, Ending] = {}

    def of(self, placement: placement_pb2.Placement) -> Path | None:
        """What tasks of a placement find, once it is ready; None where there is no setup."""
        digest = self._digest(self._key(placement)) if placement.work.HasField("setup") else ""
        return self._made.files(digest) if digest else None

    async def ready(self, carried: Carried, inputs: Inputs) -> TaskNotStarted | None:
        """Have it there before the tasks start; why they do not: `ending` says what becomes of the placement then."""
        placement = carried.placement
        if not placement.work.HasField("setup"):
            return None
        key = self._key(placement)
        while not self._digest(key):
            if (making := self._making.get(key)) is not None:
                await first_of(making, carried.changed)
                if carried.to_stop:
                    return TaskNotStarted("it was stopped while another made its setup")
                continue
            self._making[key] = asyncio.Event()
            try:
                if fault := await self._make(placement, key, inputs):
                    return fault
            finally:
                self._making.pop(key).set()
        with suppress(OSError):
            now_s = self._clock.now().timestamp()
            os.utime(self._keys / key, (now_s, now_s))
        return None

    async def ending(self, placement: placement_pb2.Placement) -> Ending | None:
        """How a placement ends whose setup keeps its tasks from starting; None where it does not."""
        if not placement.work.HasField("setup"):
            return None
        run = setup_key(last(placement.name))
        (look,) = await self._engine.inspect([run])
        if look.state is TaskState.ABSENT:
            return None
        return failed(look, await asyncio.to_thread(self._tail, run)) or self._unkept.pop(placement.name, None)

    def sweep(self, now_s: float) -> None:
        """Remove what no placement has begun with for long."""
        before_s = now_s - KEPT_S
        self._made.sweep(before_s)
        for path in self._keys.iterdir():
            if path.stat().st_mtime < before_s:
                path.unlink()
        kept = {path.read_text() for path in self._keys.iterdir()}
        for digest in set(self._made.digests()) - kept:
            self._made.remove(digest, self._made.uses(digest))

    async def _make(self, placement: placement_pb2.Placement, key: str, inputs: Inputs) -> TaskNotStarted | None:
        run = setup_key(last(placement.name))
        (look,) = await self._engine.inspect([run])
        if look.state is TaskState.ABSENT and (fault := await self._begin(placement, run, inputs)):
            return fault
        (look,) = await until_over(self._engine, [run])
        if not look.succeeded:
            return TaskNotStarted("its setup failed")
        try:
            await self._keep(run, key)
        except (FolderError, OSError) as fault:
            detail = str(fault if isinstance(fault, FolderError) else fault.strerror or fault)
            self._unkept[placement.name] = Ending(StateReason("SETUP_FAILED", {"exit_status": "0", "log": detail}))
            return TaskNotStarted(f"what its setup made cannot be kept: {detail}")
        return None

    async def _begin(self, placement: placement_pb2.Placement, run: TaskKey, inputs: Inputs) -> TaskNotStarted | None:
        """Start it; what came from the mirror lies where the setup finds it until it is over."""
        setup, said = wire.setup_from(placement.work), NO_MIRROR.encode()
        fetched: Path | None = None
        if self._mirror.address and setup.python:
            fetched = self._fetched(run)
            wheels = next((folder for mount, folder in inputs if mount == setup.wheels), None)
            said = MIRROR.encode() + await self._mirror.fetch(setup.python, wheels, fetched)
        beside = [(WHEELS_MOUNT, fetched)] if fetched else []
        if self._mirror.pip is not None:
            beside.append((f"{PIP_MOUNT}/{self._mirror.pip.name}", self._mirror.pip))
        spec = wire.setup_task_of(placement, run, (*inputs, *beside), setup.wanted(fetched=fetched is not None))
        spec = wire.with_artefact(spec, Artefact(FETCHED, said[-_LOG_BYTES:]))
        (fault,) = await self._engine.submit([spec])
        return fault

    async def _keep(self, run: TaskKey, key: str) -> None:
        left_out = LeftOut()
        made = self._engine.collect(run, SETUP_MOUNT, left_out)
        manifest = await self._turns.run(self._made.taking_in({"": made}, left_out))
        if told := [f"[setup: left out {line}]" for line in left_out.lines()]:
            await asyncio.to_thread(self._engine.note, run, told)
        await asyncio.to_thread(self._name, key, manifest.digest)
        with suppress(OSError):  # what stays goes with the placement
            await asyncio.to_thread(self._engine.drop_work, [run])
            await asyncio.to_thread(shutil.rmtree, self._fetched(run), ignore_errors=True)

    def _name(self, key: str, digest: str) -> None:
        part = self._keys.parent / f".{key}"
        part.unlink(missing_ok=True)
        write_private(part, digest.encode())
        part.rename(self._keys / key)

    def _fetched(self, run: TaskKey) -> Path:
        return self._keys.parent / "incoming" / f"wheels-{run.placement}"

    def _digest(self, key: str) -> str:
        """Of what was made; empty where that is not here."""
        try:
            digest = (self._keys / key).read_text()
        except FileNotFoundError:
            return ""
        return digest if self._made.has(digest) else ""

    def _key(self, placement: placement_pb2.Placement) -> str:
        work = wire.work_from(placement)
        setup, told = wire.setup_from(placement.work), placement.work.environment.items()
        return setup.key(placement.party, self._host, work.inputs, work.artefacts, told)

    def _tail(self, run: TaskKey) -> str:
        kept = self._engine.open_log(run)
        pieces, offset = b"", 0
        while kept is not None:
            begin, piece = kept.read(offset, _LOG_BYTES)
            if not piece:
                break
            pieces, offset = (pieces + piece)[-_LOG_BYTES:], begin + len(piece)
        return tail_of(pieces)
