"""A node whose processes systemd runs, renewed in the same order and with the same care as one of the launcher's."""

from __future__ import annotations

from pathlib import Path

from suanmesh_local.control_plane import ControlPlane, NotReady, Tell
from suanmesh_local.facts import read_facts
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
        try:
            await self._units.restart(unit)
        except UnitFault as fault:
            raise NotReady(str(fault)) from fault
        try:
            await self.ready(name)
        except NotReady as fault:
            raise NotReady(f"{unit} does not serve: journalctl --unit {unit} says why") from fault


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
