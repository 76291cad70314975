"""What it costs to bring data and to fetch it: `make bench AREA=data`.

A whole node on this machine. One large file and many small ones are put and fetched through the gateway, and beside
that, in turn, by rsync from and to its daemon on the loopback. Prints one JSON object a line, {"name", "value",
"unit"}: the median of the rounds, processor time of this process included; ratios are to rsync's in the same run.
Without rsync there are no ratios to it. What is put is on the disk when its time ends, by either. The same is done in
turn at a site that only dials out, to which the gateway carries calls: its ratios are to the site that listens, and of
both the gateway's own processor time a megabyte is told.

A host may take back memory that its guest has freed (free page reporting of virtio-balloon); the guest's first write to
such a page then costs ten times as much, 2.4 ms a megabyte where this was found. Whoever came after something large had
been removed would win by that, so before each time is taken the memory is made the guest's. Whatever takes seconds may
lose some of it again meanwhile, and what takes less does not.

An ext4 without a journal gives out no inode again for a minute after its file was removed, for six while that is not on
the disk, and passes over each of those whenever a file is made near them: where ten thousand files were just removed a
new one takes ten times as long. So small files stay until the end, all is written to the disk before each time is
taken, and the first round waits until files are made as fast as elsewhere, and tells how fast (`make_file`).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psutil

from suanmesh_local import world
from suanmesh_local.node import Node
from suanmesh_local.ports import free_ports
from suanmesh_sdk import Mesh

MB = 1_000_000
SHARD = 1000
TOUCHED_MB = 2000
MADE_FILES = 500
MADE_US_MAX = 60.0
"""What a file may take to be made, of the system's processor time, before the bench waits for better."""
WAIT_S_MAX = 400.0
WAIT_AGAIN_S = 20.0
LISTENING, RELAYED = (place.site for place in world.PLACES[:2])


async def main() -> None:
    """Measure on a fresh node."""
    parsed = argparse.ArgumentParser()
    parsed.add_argument("--megabytes", type=int, default=500)
    parsed.add_argument("--files", type=int, default=10_000)
    parsed.add_argument("--rounds", type=int, default=3)
    given = parsed.parse_args()
    took: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        node = Node(folder / "node", 2)
        node.agents[RELAYED].environment["SUANMESH_AGENT_NO_INBOUND"] = "true"
        async with node, node.mesh() as user, rsync_daemon(folder) as daemon:
            tell("make_file", await settled(folder), "us")
            for number in range(given.rounds):
                for kind, amount in (("large", given.megabytes), ("small", given.files)):
                    source = made(folder / f"{kind}-{number}", kind, amount, number)
                    ways = [
                        partial(through_the_mesh, node, user, source, folder / f"got-{number}", LISTENING, "", took),
                        partial(
                            through_the_mesh, node, user, source, folder / f"gor-{number}", RELAYED, "relayed ", took
                        ),
                    ]
                    if daemon:
                        ways.append(partial(by_rsync, daemon, source, folder / f"synced-{number}", took))
                    for work in ways[number % len(ways) :] + ways[: number % len(ways)]:
                        await work()
                    if kind == "large":
                        shutil.rmtree(source)
    if not daemon:
        print("rsync is not installed (Debian: apt-get install rsync): no ratios", file=sys.stderr)
    for kind, amount, unit in (("large", given.megabytes, "MB/s"), ("small", given.files, "files/s")):
        for way in ("put", "get"):
            ours = amount / statistics.median(took[f"{way} {kind}"])
            relayed = amount / statistics.median(took[f"relayed {way} {kind}"])
            tell(f"{way}_{kind}", ours, unit)
            tell(f"relayed_{way}_{kind}", relayed, unit)
            tell(f"relayed_{way}_{kind}_ratio", relayed / ours, "of a site's that listens")
            if daemon:
                theirs = amount / statistics.median(took[f"rsync {way} {kind}"])
                tell(f"rsync_{way}_{kind}", theirs, unit)
                tell(f"{way}_{kind}_ratio", ours / theirs, "of rsync's")
    for how in ("", "relayed "):
        both_ways = 2 * given.megabytes
        cpu_ms = 1000 * statistics.median(took[f"{how}gateway large"]) / both_ways
        tell(f"{how}gateway_cpu_large".replace(" ", "_"), cpu_ms, "ms/MB")


def gateway_s(node: Node) -> float:
    """Processor time that the node's gateway has taken, of user and system."""
    times = psutil.Process(node.services["gateway"].pid).cpu_times()
    return float(times.user + times.system)


def made(folder: Path, kind: str, amount: int, seed: int) -> Path:
    """One file of so many megabytes, or so many small files; no two rounds have the same.

    Nor the same name of a large one: a site tells of files of that name that it holds what they are, so that only what
    differs comes, and rsync has nothing to compare with either.
    """
    folder.mkdir()
    chance = random.Random(seed)
    if kind == "large":
        with (folder / f"large-{seed}.bin").open("wb") as file:
            for _ in range(amount):
                file.write(chance.randbytes(MB))
        return folder
    for number in range(amount):
        shard = folder / f"shard-{number // SHARD:05}"
        shard.mkdir(exist_ok=True)
        content = chance.randbytes(chance.randrange(2, 4000))
        (shard / f"sample-with-a-rather-long-descriptive-name-{number:08}.json").write_bytes(content)
    return folder


async def through_the_mesh(
    node: Node, user: Mesh, source: Path, target: Path, site: str, how: str, took: dict[str, list[float]]
) -> None:
    """Put to a site and get."""
    kind, name = source.name.partition("-")[0], f"{site}-{source.name}"
    begun_s = gateway_s(node)
    touch_memory(target.parent)
    took[f"{how}put {kind}"].append(await timed(user.data.put(source, name, site=f"sites/{site}")))
    touch_memory(target.parent)
    target = target.with_name(f"{target.name}-{kind}")
    took[f"{how}get {kind}"].append(await timed(user.data.get(f"datasets/{name}", target)))
    took[f"{how}gateway {kind}"].append(gateway_s(node) - begun_s)
    if kind == "large":
        shutil.rmtree(target)


async def by_rsync(daemon: str, source: Path, target: Path, took: dict[str, list[float]]) -> None:
    """The same by rsync."""
    kind = source.name.partition("-")[0]
    touch_memory(target.parent)
    took[f"rsync put {kind}"].append(
        await timed(run("rsync", "-a", "--fsync", f"{source}/", f"{daemon}/{source.name}"))
    )
    touch_memory(target.parent)
    target = target.with_name(f"{target.name}-{kind}")
    took[f"rsync get {kind}"].append(await timed(run("rsync", "-a", f"{daemon}/{source.name}/", str(target))))
    if kind == "large":
        shutil.rmtree(target)


def touch_memory(folder: Path) -> None:
    """Fill the page cache, and have it free again but not yet the host's; nothing is left to be written to the disk."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(TOUCHED_MB):
            file.write(bytes(MB))
    os.sync()


async def settled(folder: Path) -> float:
    """Wait until files are made there as fast as they can be; the system's time for one, in microseconds."""
    begun = time.monotonic()
    for number in itertools.count():
        os.sync()
        tried = folder / f"tried-{number}"
        tried.mkdir()
        before_s = os.times().system
        for name in range(MADE_FILES):
            (tried / str(name)).touch()
        took_us = 1e6 * (os.times().system - before_s) / MADE_FILES
        if took_us <= MADE_US_MAX or time.monotonic() - begun > WAIT_S_MAX:
            break
        await asyncio.sleep(WAIT_AGAIN_S)
    return took_us


@asynccontextmanager
async def rsync_daemon(folder: Path) -> AsyncIterator[str]:
    """Where it takes files; empty where rsync is not installed."""
    program = shutil.which("rsync")
    if program is None:
        yield ""
        return
    port, kept = free_ports(1)[0], folder / "rsyncd"
    kept.mkdir()
    config = folder / "rsyncd.conf"
    config.write_text(
        f"[kept]\npath = {kept}\nread only = no\nuse chroot = no\nuid = {os.getuid()}\ngid = {os.getgid()}\n"
    )
    daemon = await asyncio.create_subprocess_exec(
        program, "--daemon", "--no-detach", f"--port={port}", "--address=127.0.0.1", f"--config={config}"
    )
    try:
        await asyncio.sleep(0.5)
        yield f"rsync://127.0.0.1:{port}/kept"
    finally:
        daemon.terminate()
        await daemon.wait()


async def run(*command: str) -> None:
    """Run it to its end. Raises RuntimeError."""
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise RuntimeError(f"{command[0]} ended with status {process.returncode}")


async def timed(work: Awaitable[object]) -> float:
    """Seconds it takes."""
    begun = time.monotonic()
    await work
    return time.monotonic() - begun


def tell(name: str, value: float, unit: str) -> None:
    """One line."""
    print(json.dumps({"name": name, "value": round(value, 2), "unit": unit}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
