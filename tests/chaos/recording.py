"""What is written down while the faults strike: every change of a placement, every run as the task itself tells it."""

from __future__ import annotations

import asyncio
import re
from glob import iglob
from pathlib import Path

from chaos.facts import Change, Run
from chaos.tasks import BEAT
from chaos.world import ChaosNode
from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.type.v1.document_pb2 import Document
from suanmesh_etcd3 import EtcdError, Event, connect
from suanmesh_local.identities import ETCD_ROOT_DIR
from suanmesh_store.layout import PLACEMENTS

AGAIN_S = 0.3
LOOK_S = 1.0
LOG_NUMBER = re.compile(r"(\d+)\.log")
STATE_OF = {v.number: v.name.removeprefix("STATE_") for v in placement_pb2.Placement.State.DESCRIPTOR.values}


class Placements:
    """Every change of every placement, from etcd itself."""

    def __init__(self, node: ChaosNode) -> None:
        self._node = node
        self.changes: list[Change] = []

    async def run(self) -> None:
        """Follow for good."""
        tls = self._node.identities.etcd_client(ETCD_ROOT_DIR)
        async with connect(self._node.endpoints, tls=tls, timeout_s=2.0) as client:
            revision = 0
            while True:
                try:
                    if not revision:
                        revision = (await client.snapshot(PLACEMENTS.prefix)).revision
                    async for batch in client.watch(PLACEMENTS.prefix, after_revision=revision):
                        self.changes += [_change(event) for event in batch.events]
                        revision = batch.revision
                except EtcdError:
                    await asyncio.sleep(AGAIN_S)


class Runs:
    """Every run of a task, from the logs that the executors of all sites keep on this host."""

    def __init__(self, node: ChaosNode) -> None:
        self._node = node
        self._sizes: dict[Path, int] = {}
        self._runs: dict[Path, Run] = {}

    @property
    def found(self) -> list[Run]:
        """The runs so far."""
        return list(self._runs.values())

    async def run(self) -> None:
        """Read what is new, for good: logs of placements long ended are removed."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Read what is new."""
        for place in self._node.places:
            tasks = self._node.folder / "sites" / place.site / "tasks"
            for folder in map(Path, iglob(f"{tasks}/*/*/shim")):  # noqa: PTH207 - passes over what is removed meanwhile
                logs = sorted(folder.glob("*.log"), key=lambda path: int(path.stem))
                try:
                    size = sum(log.stat().st_size for log in logs)
                    if size == self._sizes.get(folder):
                        continue
                    text = b"".join(log.read_bytes() for log in logs).decode(errors="replace")
                except OSError:
                    continue  # removed meanwhile
                self._sizes[folder] = size
                task = int(folder.parent.name.partition(".")[0])  # a further run of it stands behind the dot
                told = run_of(text, f"placements/{folder.parent.parent.name}", task, place.site)
                if told is not None:
                    self._runs[folder] = told


def run_of(text: str, placement: str, task: int, site: str) -> Run | None:
    """The run that a task's log tells of; None where it says nothing."""
    beats = [fields[1:] for line in text.splitlines() if (fields := line.split())[:1] == [BEAT] and len(fields) == 4]
    if not beats:
        return None
    begins = [beat for beat in beats if beat[0] == "begin"] or beats[:1]
    return Run(
        placement, task, site,
        begin=float(begins[0][1]), last=float(beats[-1][1]), begin_wall=float(begins[0][2]), begins=len(begins),
    )  # fmt: skip


def _change(event: Event) -> Change:
    if event.kind == "delete":
        return Change(event.mod_revision, PLACEMENTS.name(event.key.decode()), "", "", "")
    document = Document.FromString(event.value)
    placement = placement_pb2.Placement.FromString(document.payload)
    return Change(event.mod_revision, placement.name, placement.job, placement.site, STATE_OF[placement.state])
