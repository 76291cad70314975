"""How fast documents become durable: 100,000 of 512 bytes, through the store, on three etcd members with fsync.

The baseline, interleaved in the same run, writes as many values of the same size with the bare bulk writer of
`suanmesh_etcd3`: no documents, no uids, no comparison, no fence.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_etcd3 import Client, connect
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_local.etcd import EtcdCluster
from suanmesh_store.etcd import EtcdStore, elect
from suanmesh_store.layout import JOBS

DOCUMENT_BYTES = 512
ROUNDS = 4


async def measure(count: int, folder: Path) -> dict[str, object]:
    """Write `count` documents and as many bare values, in turns."""
    share = count // ROUNDS
    async with EtcdCluster(folder, members=3) as cluster, connect(cluster.endpoints, timeout_s=30.0) as client:
        term = await elect(client, "scheduler", "127.0.0.1:0", 60)
        store = EtcdStore(client, "scheduler", SystemClock(), system_rng, term)
        filler = await filler_for(store)
        documents: list[float] = []
        bare: list[float] = []
        for turn in range(ROUNDS):
            documents.append(await timed(share, partial(written, store, turn, share, filler)))
            bare.append(await timed(share, partial(written_bare, client, turn, share)))
        assert await client.count(f"{JOBS.prefix}jobs/b") == ROUNDS * share + 1
        value, baseline = ROUNDS * share / sum(share / rate for rate in documents), statistics.median(bare)
    return {
        "name": "bulk_put_rate",
        "value": round(value),
        "unit": "documents/s",
        "baseline": round(baseline),
        "ratio": round(statistics.median(documents) / baseline, 3),
    }


async def timed(count: int, write: Callable[[], Awaitable[int]]) -> float:
    """Writes a second."""
    start = time.perf_counter()
    done = await write()
    assert done == count, (done, count)
    return count / (time.perf_counter() - start)


async def written(store: EtcdStore, turn: int, count: int, filler: str) -> int:
    """Write through the store."""
    names = (f"jobs/b{turn}-{index:06}" for index in range(count))
    return await store.bulk_put(JOBS, ((name, Job(name=name, account=filler)) for name in names))


async def written_bare(client: Client, turn: int, count: int) -> int:
    """Write the same amount without the store."""
    value = bytes(DOCUMENT_BYTES)
    return await client.bulk_put((f"/bare/{turn}-{index:06}", value) for index in range(count))


async def filler_for(store: EtcdStore) -> str:
    """What makes a stored document as large as it should be."""
    name = "jobs/b0-probe0"
    await store.bulk_put(JOBS, [(name, Job(name=name, account="x" * 256))])
    token = await store.get_token(JOBS.key(name))
    assert token is not None
    return "x" * (256 + DOCUMENT_BYTES - len(token.value))


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="documents to write")
    parser.add_argument("--folder", type=Path, default=Path("build"), help="where etcd's data lies: a real disk")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-store-") as folder:
        print(json.dumps(asyncio.run(measure(options.count, Path(folder)))))


if __name__ == "__main__":
    main()
