"""`suan dev`: a node with its sites in the foreground, until Ctrl-C or until its terminal is closed."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from pathlib import Path

from suanmesh_etcd3 import EtcdError
from suanmesh_kernel.refusals import Refusal
from suanmesh_local import world
from suanmesh_local.digits import DATASET, DigitsMissing, export
from suanmesh_local.format import OtherFormat
from suanmesh_local.lock import Taken
from suanmesh_local.node import Node, NotReady
from suanmesh_local.tools import ToolMissing

WATCH_S = 0.5


def main(sites: int = 3, data_dir: Path | None = None, replicas: int = 1) -> int:
    """Run a node with `sites` sites; keeps its state in `data_dir`. Answers the exit status."""
    return asyncio.run(_run(sites, data_dir or Path("build/dev"), replicas))


async def _run(sites: int, folder: Path, replicas: int) -> int:
    """Live until told to stop, be it while everything still starts."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        loop.add_signal_handler(signal.SIGHUP, stop.set)
    async with asyncio.TaskGroup() as tasks:
        life = tasks.create_task(_live(sites, folder, replicas))
        told = tasks.create_task(stop.wait())
        await asyncio.wait((life, told), return_when=asyncio.FIRST_COMPLETED)
        life.cancel()
        told.cancel()
    return 0 if life.cancelled() else life.result()


async def _live(sites: int, folder: Path, replicas: int) -> int:
    """Whatever goes wrong is said on one line; the exit status is 1."""
    try:
        async with Node(folder, sites, replicas=replicas, tell=_tell) as node:
            await _with_digits(node)
            where = node.folder / "config.toml"
            with suppress(OSError):  # as in `_tell`
                print(f"ready: gateway {node.gateway}, contexts in {where}; stop with Ctrl-C", flush=True)
            return await _watched(node)
    except (NotReady, OtherFormat, Taken, ToolMissing, Refusal, EtcdError, ValueError) as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))


def _failed(reason: str) -> int:
    with suppress(OSError):
        print(f"suan dev: {reason}", file=sys.stderr)
    return 1


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


async def _watched(node: Node) -> int:
    """Until a process ends by itself: that ends the node, and is named. Nothing is restarted behind one's back."""
    processes = [*node.services.values(), *node.agents.values(), *(member.process for member in node.etcd)]
    while True:
        for process in processes:
            if process.status is not None:
                with suppress(OSError):
                    print(f"{process.name} ended with {process.status}; see {process.log}", file=sys.stderr, flush=True)
                return 1
        await asyncio.sleep(WATCH_S)


def _tell(name: str, state: str) -> None:
    """Say it if anybody still reads: that a terminal is gone must not keep a node from being stopped."""
    with suppress(OSError):
        print(f"{name:<22} {state}", flush=True)
