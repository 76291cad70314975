"""`suan dev`: a node with its sites in the foreground, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from suanmesh_local import world
from suanmesh_local.digits import DATASET, DigitsMissing, export
from suanmesh_local.node import Node, NotReady
from suanmesh_local.tools import ToolMissing

WATCH_S = 0.5


def main(sites: int = 3, data_dir: Path | None = None) -> int:
    """Run a node with `sites` sites; keeps its state in `data_dir`. Answers the exit status."""
    try:
        return asyncio.run(_run(sites, data_dir or Path("build/dev")))
    except (NotReady, ToolMissing, ValueError) as error:
        print(f"suan dev: {error}", file=sys.stderr)
        return 1


async def _run(sites: int, folder: Path) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Node(folder, sites, tell=_tell) as node:
        await _with_digits(node)
        print(f"ready: gateway {node.gateway}, contexts in {node.folder / 'config.toml'}; stop with Ctrl-C", flush=True)
        return await _until_stopped(node, stop)


async def _with_digits(node: Node) -> None:
    """Publish the digits at the first site, so that examples/digits can be submitted at once."""
    site = node.places[0].site
    try:
        folder = await asyncio.to_thread(export, node.folder / DATASET)
        await node.publish(site, DATASET, world.CONSUMER, folder)
    except (DigitsMissing, NotReady) as error:
        _tell(f"datasets/{DATASET}", f"not published, examples/digits will not run: {error}")
        return
    _tell(f"datasets/{DATASET}", f"published at sites/{site}")


async def _until_stopped(node: Node, stop: asyncio.Event) -> int:
    """Wait for the signal; a process that ends by itself ends the node, and is named."""
    processes = [*node.services.values(), *node.agents.values()]
    while not stop.is_set():
        for process in processes:
            if process.status is not None:
                print(f"{process.name} ended with {process.status}; see {process.log}", file=sys.stderr)
                return 1
        for member in node.etcd:
            if not member.pid:
                print(f"{member.name} ended; see {member.folder / 'etcd.log'}", file=sys.stderr)
                return 1
        try:
            async with asyncio.timeout(WATCH_S):
                await stop.wait()
        except TimeoutError:
            continue
    return 0


def _tell(name: str, state: str) -> None:
    print(f"{name:<22} {state}", flush=True)
