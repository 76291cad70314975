"""Nodes in the foreground, until Ctrl-C or until their terminal is closed: `suan dev` and `suan node run`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from pathlib import Path

from suanmesh_etcd3 import EtcdError
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import founding, world
from suanmesh_local.control_plane import ControlPlane, NotReady
from suanmesh_local.digits import DATASET, DigitsMissing, export
from suanmesh_local.facts import read_facts
from suanmesh_local.format import OtherFormat
from suanmesh_local.growing import REQUEST as GROWTH
from suanmesh_local.growing import grow_as_told
from suanmesh_local.lock import Taken
from suanmesh_local.node import Node
from suanmesh_local.rolling import roll, taken, taken_request
from suanmesh_local.slurm import running
from suanmesh_local.tending import Tender
from suanmesh_local.tools import ToolMissing
from suanmesh_local.unit_files import write_files
from suanmesh_store.soundness import StoreCorrupt

WATCH_S = 0.5
FAULTS = (NotReady, OtherFormat, StoreCorrupt, Taken, ToolMissing, Refusal, EtcdError, ValueError, OSError)
"""What keeps a node from being founded or started: said on one line."""


def dev(sites: int = 3, data_dir: Path | None = None, replicas: int = 1, *, slurm: bool = False) -> int:
    """Run a node with `sites` sites; keeps its state in `data_dir`. With `slurm` the first has a Slurm of its own.

    Answers the exit status.
    """

    async def live() -> int:
        with running() if slurm else nullcontext() as cluster:
            node = Node(data_dir or Path("build/dev"), sites, replicas=replicas, tell=tell, slurm=cluster)
            async with node:
                await _with_digits(node)
                _ready(f"gateway {node.gateway}, contexts in {node.folder / 'config.toml'}")
                return await _watched(node)

    return until_told("suan dev", live)


def run(folder: Path) -> int:
    """Run the node that was founded in `folder`. Answers the exit status."""

    async def live() -> int:
        async with ControlPlane(folder, read_facts(folder), tell=tell) as node:
            write_files(node)
            if node.facts.runs_services:
                await founding.register_operator(node)
            _ready(f"gateway {node.gateway}")
            return await _watched(node)

    return until_told("suan node run", live)


def prepare(folder: Path) -> int:
    """Do for a node whose processes run by other means what `run` does besides starting them; the exit status."""

    async def live() -> int:
        node = ControlPlane(folder, read_facts(folder))
        try:
            await node.confine()
            await node.vote()
            await Tender(node).follow()
            if node.facts.runs_services:
                await founding.register_operator(node)
        finally:
            await node.stop()
        tell("node", f"{node.facts.name} is prepared")
        return 0

    return until_told("suan node prepare", live)


def until_told(command: str, live: Callable[[], Awaitable[int]]) -> int:
    """Live until it is over, or until told to stop, be it while everything still starts. Answers the exit status."""
    return asyncio.run(_until_told(command, live))


async def _until_told(command: str, live: Callable[[], Awaitable[int]]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        loop.add_signal_handler(signal.SIGHUP, stop.set)
    async with asyncio.TaskGroup() as tasks:
        life = tasks.create_task(_lived(command, live))
        told = tasks.create_task(stop.wait())
        await asyncio.wait((life, told), return_when=asyncio.FIRST_COMPLETED)
        life.cancel()
        told.cancel()
    return 0 if life.cancelled() else life.result()


async def _lived(command: str, live: Callable[[], Awaitable[int]]) -> int:
    """Whatever goes wrong is said on one line; the exit status is 1."""
    try:
        return await live()
    except FAULTS as fault:
        with suppress(OSError):
            print(f"{command}: {said_of(fault)}", file=sys.stderr)
        return 1


def said_of(fault: Exception) -> str:
    """A fault on one line; of the system's the file as well."""
    if isinstance(fault, OSError):
        return f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror or str(fault)
    return str(fault)


def tell(name: str, state: str) -> None:
    """Say it if anybody still reads: that a terminal is gone must not keep a node from being stopped."""
    with suppress(OSError):
        print(f"{name:<22} {state}", flush=True)


def _ready(what: str) -> None:
    with suppress(OSError):  # as in `tell`
        print(f"ready: {what}; stop with Ctrl-C", flush=True)


async def _with_digits(node: Node) -> None:
    """Publish the digits at the first site, so that examples/digits can be submitted at once."""
    site = node.places[0].site
    try:
        folder = await asyncio.to_thread(export, node.folder / DATASET)
        await node.publish(site, DATASET, world.CONSUMER, folder)
    except (DigitsMissing, NotReady) as error:
        tell(f"datasets/{DATASET}", f"not published, examples/digits will not run: {error}")
        return
    tell(f"datasets/{DATASET}", f"published at sites/{site}")


async def _watched(node: ControlPlane) -> int:
    """Until a process ends by itself: that ends the node, and is named. Nothing is restarted behind one's back."""
    tender = Tender(node)
    while True:
        stays, processes = await tender.tend(), node.all_processes()
        ended = [process for process in processes if process.status is not None and process.name not in node.renewing]
        if ended and stays:
            stays = await tender.follow()  # etcd ends by itself where its machine was taken out
        if not stays:
            await tender.leave()
            return 0
        for process in ended:
            with suppress(OSError):
                print(
                    f"{process.name} ended with {process.status}: {process.last_words()}", file=sys.stderr, flush=True
                )
            return 1
        if (progress := taken_request(node.folder)) is not None:
            await roll(node, progress)
        if (request := taken(node.folder / GROWTH)) is not None:
            await grow_as_told(node, request)
        await asyncio.sleep(WATCH_S)
