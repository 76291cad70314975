"""Renewing the processes of a running node one after the other, as they are installed by then."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from suanmesh_etcd3 import Client, Compare, EtcdError, Op
from suanmesh_kernel.private import write_private
from suanmesh_local.control_plane import ControlPlane, NotReady
from suanmesh_local.facts import NodeFacts
from suanmesh_store.layout import RENEWING

REQUEST = "upgrade.request"
PROGRESS = "upgrade.json"
ALONE_S = 30
"""How long a machine whose renewal was killed keeps others waiting, seconds."""


@dataclass(slots=True)
class Progress:
    """How far the processes of a node are renewed."""

    request: str
    renewed: list[str] = field(default_factory=list)
    """Names of processes, in their order, each of which serves again."""
    problem: str = ""
    """What ended it; empty while nothing has."""
    ended: bool = False


def order(names: Sequence[str], leading: Collection[str]) -> list[str]:
    """In which order to renew them: those that stand by, those that lead, and last the gateways, which know all.

    So each lead is handed to a process that is renewed already, once, and an older one never leads after a newer one.
    """
    standing_by = [name for name in names if name not in leading and not _is_gateway(name)]
    led = [name for name in names if name in leading and not _is_gateway(name)]
    return [*standing_by, *led, *filter(_is_gateway, names)]


async def roll(node: ControlPlane, progress: Progress, *, tell: Callable[[str], None] = lambda name: None) -> None:
    """Renew every service of a node; the next only once the one before serves. Where one does not, the rest stays.

    Of a node on several machines one is renewed at a time: the others' instances serve meanwhile.
    """
    try:
        async with node.etcd_client() as client, alone(client, node.facts):
            await _roll(node, progress, tell)
    except (NotReady, EtcdError) as fault:
        progress.problem = str(fault)
    progress.ended = True
    write_progress(node.folder, progress)


async def _roll(node: ControlPlane, progress: Progress, tell: Callable[[str], None]) -> None:
    leading = {await node.leader_of(area) for area in {_area(name) for name in node.services} - {"gateway"}}
    for name in order(list(node.services), leading):
        await node.renew(name)
        progress.renewed.append(name)
        write_progress(node.folder, progress)
        tell(name)


@asynccontextmanager
async def alone(client: Client, facts: NodeFacts) -> AsyncIterator[None]:
    """While no other machine of the node is renewed. Raises NotReady where one is, EtcdError."""
    if not facts.is_spread:
        yield
        return
    lease = await client.lease(ALONE_S)
    try:
        free = [Compare.create_revision(RENEWING, "=", 0)]
        taken = await client.txn(free, [Op.put(RENEWING, facts.host.encode(), lease=lease.id)])
        if not taken.succeeded:
            held = await client.get(RENEWING)
            raise NotReady(
                f"{held.value.decode() if held else 'another machine'} is being renewed: one after the other"
            )
        yield
    finally:
        with suppress(EtcdError):
            await lease.revoke()


def taken_request(folder: Path) -> Progress | None:
    """The request that waits in a node's folder, which is taken by that; None where there is none."""
    told = taken(folder / REQUEST)
    if told is None:
        return None
    progress = Progress(told)
    write_progress(folder, progress)
    return progress


def taken(file: Path) -> str | None:
    """What a file says that asks for something, which is removed by that; None where there is none. Raises OSError."""
    if not file.exists():
        return None
    told = file.read_text().strip()
    file.unlink()
    return told


def _area(name: str) -> str:
    return name.partition("-")[0]


def _is_gateway(name: str) -> bool:
    return _area(name) == "gateway"


def write_progress(folder: Path, progress: Progress) -> None:
    """Tell whoever asked how far it is. Raises OSError."""
    fresh = folder / f"{PROGRESS}.new"
    write_private(fresh, json.dumps(asdict(progress)).encode())
    fresh.replace(folder / PROGRESS)


def progress_in(folder: Path) -> Progress | None:
    """How far the last request has come; None where there is none that can be read."""
    with suppress(OSError, ValueError, TypeError):
        return Progress(**json.loads((folder / PROGRESS).read_text()))
    return None
