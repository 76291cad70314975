"""What it costs to bring data and to fetch it: `make bench AREA=data`.

A whole node on this machine. One large file and many small ones are put and fetched through the gateway, and beside
that, in turn, by rsync from and to its daemon on the loopback. Prints one JSON object a line, {"name", "value",
"unit"}: the median of the rounds, processor time of this process included; ratios are to rsync's in the same run.
Without rsync there are no ratios. What is put is on the disk when its time ends, by either.

A host may take back memory that its guest has freed (free page reporting of virtio-balloon); the guest's first write to
such a page then costs ten times as much, 2.4 ms a megabyte where this was found. Whoever came after something large had
been removed would win by that, so before each time is taken the memory is made the guest's.
"""

from __future__ import annotations

import argparse
import asyncio
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
from pathlib import Path

from suanmesh_local.node import Node
from suanmesh_local.ports import free_ports
from suanmesh_sdk import Mesh

MB = 1_000_000
SHARD = 1000
TOUCHED_MB = 2000


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
        async with Node(folder / "node", 1) as node, node.mesh() as user, rsync_daemon(folder) as daemon:
            for number in range(given.rounds):
                for kind, amount in (("large", given.megabytes), ("small", given.files)):
                    source = made(folder / f"{kind}-{number}", kind, amount, number)
                    await through_the_mesh(user, source, folder / "got", f"{kind}-{number}", took)
                    if daemon:
                        await by_rsync(daemon, source, folder / "synced", took)
                    shutil.rmtree(source)
    if not daemon:
        print("rsync is not installed (Debian: apt-get install rsync): no ratios", file=sys.stderr)
    for kind, amount, unit in (("large", given.megabytes, "MB/s"), ("small", given.files, "files/s")):
        for way in ("put", "get"):
            ours = amount / statistics.median(took[f"{way} {kind}"])
            tell(f"{way}_{kind}", ours, unit)
            if daemon:
                theirs = amount / statistics.median(took[f"rsync {way} {kind}"])
                tell(f"rsync_{way}_{kind}", theirs, unit)
                tell(f"{way}_{kind}_ratio", ours / theirs, "of rsync's")


def made(folder: Path, kind: str, amount: int, seed: int) -> Path:
    """One file of so many megabytes, or so many small files; no two rounds have the same."""
    folder.mkdir()
    chance = random.Random(seed)
    if kind == "large":
        with (folder / "large.bin").open("wb") as file:
            for _ in range(amount):
                file.write(chance.randbytes(MB))
        return folder
    for number in range(amount):
        shard = folder / f"shard-{number // SHARD:05}"
        shard.mkdir(exist_ok=True)
        content = chance.randbytes(chance.randrange(2, 4000))
        (shard / f"sample-with-a-rather-long-descriptive-name-{number:08}.json").write_bytes(content)
    return folder


async def through_the_mesh(user: Mesh, source: Path, target: Path, name: str, took: dict[str, list[float]]) -> None:
    """Put and get."""
    kind = name.partition("-")[0]
    touch_memory(target.parent)
    took[f"put {kind}"].append(await timed(user.data.put(source, name)))
    touch_memory(target.parent)
    took[f"get {kind}"].append(await timed(user.data.get(f"datasets/{name}", target)))
    shutil.rmtree(target)


async def by_rsync(daemon: str, source: Path, target: Path, took: dict[str, list[float]]) -> None:
    """The same by rsync."""
    kind = source.name.partition("-")[0]
    touch_memory(target.parent)
    took[f"rsync put {kind}"].append(
        await timed(run("rsync", "-a", "--fsync", f"{source}/", f"{daemon}/{source.name}"))
    )
    touch_memory(target.parent)
    took[f"rsync get {kind}"].append(await timed(run("rsync", "-a", f"{daemon}/{source.name}/", str(target))))
    shutil.rmtree(target)


def touch_memory(folder: Path) -> None:
    """Fill the page cache, and have it free again but not yet the host's."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(TOUCHED_MB):
            file.write(bytes(MB))


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
