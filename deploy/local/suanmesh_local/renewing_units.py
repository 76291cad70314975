"""A node whose processes systemd runs, renewed in the same order and with the same care as one of the launcher's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from suanmesh_local.control_plane import ControlPlane, NotReady, Tell
from suanmesh_local.facts import NodeFacts, read_facts
from suanmesh_local.growing import grow
from suanmesh_local.rolling import Progress, roll
from suanmesh_local.unit_control import UnitFault, Units
from suanmesh_local.unit_files import write_files
from suanmesh_local.units import unit_name


class NodeOfUnits(ControlPlane):
    """The same node; its services are others' children."""

    def __init__(self, folder: Path, units: Units, tell: Tell) -> None:
        """Raises as a control plane does."""
        super().__init__(folder, read_facts(folder), tell=tell)
        self._units = units

    def unit_of(self, name: str) -> str:
        """What the unit of a process is called."""
        return unit_name(self.facts.name, name)

    async def running(self) -> bool:
        """Whether any of its services runs by its unit. Raises UnitFault."""
        return bool(await self._units.active([self.unit_of(name) for name in self.services]))

    async def renew(self, name: str) -> None:
        """Have an instance of a service start as it is installed now; done once it serves. Raises NotReady."""
        unit = self.unit_of(name)
        with _as_not_ready():
            await self._units.restart(unit)
        try:
            await self.ready(name)
        except NotReady as fault:
            raise NotReady(f"{unit} does not serve: journalctl --unit {unit} says why") from fault


class HandsOfUnits:
    """Stops and starts the processes of a node by its units."""

    def __init__(self, node: NodeOfUnits, units: Units) -> None:
        self._node = node
        self._units = units

    async def stop(self, names: Sequence[str]) -> None:
        """Stop processes. Raises NotReady."""
        with _as_not_ready():
            for name in names:
                await self._units.stop(self._node.unit_of(name))

    async def reread(self) -> None:
        """Have systemd read the files of units anew. Raises NotReady."""
        with _as_not_ready():
            await self._units.reload()

    async def start(self, names: Sequence[str]) -> None:
        """Start processes, in their order. Raises NotReady."""
        with _as_not_ready():
            for name in names:
                await self._units.restart(self._node.unit_of(name))
                if name not in self._node.services:
                    await self._node.confine()
        for name in names:
            if name in self._node.services:
                await self._node.ready(name)


@contextmanager
def _as_not_ready() -> Iterator[None]:
    try:
        yield
    except UnitFault as fault:
        raise NotReady(str(fault)) from fault


async def grown(folder: Path, units: Units, wanted: NodeFacts) -> bool:
    """Have the node in `folder` be one of several machines; whether its units run. Raises as `grow`."""
    node = NodeOfUnits(folder, units, lambda name, state: None)
    try:
        if not await node.running():
            return False
        await grow(node, HandsOfUnits(node, units), wanted)
        return True
    finally:
        await node.stop()


async def renewed(folder: Path, units: Units, tell: Tell) -> str | None:
    """Renew every service of the node in `folder`; what went wrong, empty where nothing did, None where none runs.

    Raises as a control plane does, UnitFault.
    """
    node = NodeOfUnits(folder, units, lambda name, state: None)
    try:
        if not await node.running():
            return None
        write_files(node)
        await units.reload()
        progress = Progress("")
        await roll(node, progress, tell=lambda name: tell(name, "renewed"))
        return progress.problem
    finally:
        await node.stop()
