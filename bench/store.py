"""How fast documents and records become durable, and how fast a page of records is read.

Documents: 100,000 of 512 bytes, through the store, on three etcd members with fsync. The baseline, interleaved in the
same run, writes as many values of the same size with the bare bulk writer of `suanmesh_etcd3`: no documents, no uids,
no comparison, no fence. Records: as many, durable at every commit, on SQLite and, where it is installed, on PostgreSQL;
the baseline is the bare driver, one table of payloads, as many in a transaction.
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

from postgres import binaries, running

from suanmesh.scheduler.v1.placement_pb2 import Placement
from suanmesh.transport.v1.dataset_pb2 import Dataset
from suanmesh_etcd3 import Client, connect
from suanmesh_kernel.clock import SystemClock, system_rng
from suanmesh_local.etcd import EtcdCluster
from suanmesh_store.databases import open_engines
from suanmesh_store.etcd import EtcdStore, elect
from suanmesh_store.layout import PLACEMENTS
from suanmesh_store.records import ABSENT, Index, Put, RecordKind, Records, Write, Written, open_records

DOCUMENT_BYTES = 512
ROUNDS = 4
BATCH = 50
CALLERS = 20
"""Batches that are under way at once: as many records as share a transaction."""
PAGE = 100
PAGES = 200
DATASETS: RecordKind[Dataset] = RecordKind(
    "datasets",
    Dataset,
    (
        Index("party", lambda dataset: [(dataset.party, -dataset.bytes)]),
        Index("site", lambda dataset: {(replica.site,) for replica in dataset.replicas}),
    ),
)
"""With an index of one key a record for lists, and one of a key per replica."""


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
        assert await client.count(f"{PLACEMENTS.prefix}placements/b") == ROUNDS * share + 1
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
    names = (f"placements/b{turn}-{index:06}" for index in range(count))
    return await store.bulk_put(PLACEMENTS, ((name, Placement(name=name, job=filler)) for name in names))


async def written_bare(client: Client, turn: int, count: int) -> int:
    """Write the same amount without the store."""
    value = bytes(DOCUMENT_BYTES)
    return await client.bulk_put((f"/bare/{turn}-{index:06}", value) for index in range(count))


async def filler_for(store: EtcdStore) -> str:
    """What makes a stored document as large as it should be."""
    name = "placements/b0-probe0"
    await store.bulk_put(PLACEMENTS, [(name, Placement(name=name, job="x" * 256))])
    token = await store.get_token(PLACEMENTS.key(name))
    assert token is not None
    return "x" * (256 + DOCUMENT_BYTES - len(token.value))


async def measure_records(database: str, url: str, count: int) -> list[dict[str, object]]:
    """Keep `count` records, then page through them; the baselines are the bare driver's, in turns with ours."""
    records = open_records(url, "transport", (DATASETS,), SystemClock(), system_rng)
    bare = BareTable(url)
    rates, bare_rates = [], []
    try:
        for turn in range(ROUNDS):
            share = range(turn * count // ROUNDS, (turn + 1) * count // ROUNDS)
            rates.append(await timed(len(share), partial(kept, records, share)))
            bare_rates.append(await timed(len(share), partial(asyncio.to_thread, bare.insert, share)))
        pages, bare_pages = [], []
        for turn in range(PAGES):
            at = turn * count // PAGES
            pages.append(await seconds(partial(read_page, records, at)))
            bare_pages.append(await seconds(partial(asyncio.to_thread, bare.page, at)))
    finally:
        await records.close()
        bare.close()
    rate, bare_rate = statistics.median(rates), statistics.median(bare_rates)
    page_ms, bare_ms = statistics.median(pages) * 1000, statistics.median(bare_pages) * 1000
    return [
        _line(f"records_rate_{database}", round(rate), "records/s, durable", round(bare_rate), rate / bare_rate),
        _line(f"records_page_p50_{database}", round(page_ms, 2), "ms", round(bare_ms, 2), page_ms / bare_ms),
    ]


async def kept(records: Records, numbers: range) -> int:
    """Keep new records as callers do that come together: each a batch, so many at a time."""
    slots = asyncio.Semaphore(CALLERS)

    async def keep(batch: range) -> int:
        writes = [Write([Put(DATASETS, _name(n), _dataset(n), expected=ABSENT)]) for n in batch]
        async with slots:
            return sum(isinstance(outcome, Written) for outcome in await records.apply(writes))

    batches = [numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH)]
    return sum(await asyncio.gather(*map(keep, batches)))


async def read_page(records: Records, at: int) -> None:
    """A page of a party's records, the newest first, from somewhere in the middle."""
    found = await records.page(DATASETS, "party", ("parties/lab",), after=(-at, _name(at)), limit=PAGE)
    assert len(found) == min(PAGE, at), (len(found), at)


class BareTable:
    """One table of numbered payloads, over the bare driver: no records, no index keys, no sequence."""

    def __init__(self, url: str) -> None:
        self._engines = open_engines(url, "the baseline", application="bench")
        self._mark = "?" if url.startswith("sqlite") else "%s"
        blob = "BLOB" if url.startswith("sqlite") else "BYTEA"
        with self._engines.writing.begin() as connection:
            connection.exec_driver_sql(f"CREATE TABLE bare (id BIGINT PRIMARY KEY, payload {blob} NOT NULL)")

    def insert(self, numbers: range) -> int:
        """In transactions as large as those that callers share."""
        for start in range(0, len(numbers), BATCH * CALLERS):
            rows = [(n, bytes(DOCUMENT_BYTES)) for n in numbers[start : start + BATCH * CALLERS]]
            with self._engines.writing.begin() as connection:
                connection.exec_driver_sql(f"INSERT INTO bare VALUES ({self._mark}, {self._mark})", rows)
        return len(numbers)

    def page(self, at: int) -> None:
        """As many rows as a page, from somewhere in the middle."""
        query = f"SELECT id, payload FROM bare WHERE id < {self._mark} ORDER BY id DESC LIMIT {PAGE}"
        with self._engines.reading.begin() as connection:
            assert len(connection.exec_driver_sql(query, (at,)).all()) == min(PAGE, at)

    def close(self) -> None:
        self._engines.dispose()


async def seconds(act: Callable[[], Awaitable[None]]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    await act()
    return time.perf_counter() - start


def _name(number: int) -> str:
    return f"datasets/d{number:08}"


def _dataset(number: int) -> Dataset:
    made = Dataset(name=_name(number), party="parties/lab", digest="x" * (DOCUMENT_BYTES - 60), bytes=number)
    made.replicas.add(site=f"sites/s{number % 100}")
    return made


def _line(name: str, value: float, unit: str, baseline: float, ratio: float) -> dict[str, object]:
    return {"name": name, "value": value, "unit": unit, "baseline": baseline, "ratio": round(ratio, 3)}


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="documents to write")
    parser.add_argument("--folder", type=Path, default=Path("build"), help="where etcd's data lies: a real disk")
    parser.add_argument("--records-only", action="store_true", help="leave etcd out")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-store-") as folder:
        if not options.records_only:
            print(json.dumps(asyncio.run(measure(options.count, Path(folder)))), flush=True)
        for line in asyncio.run(measure_records("sqlite", f"sqlite:///{folder}/records", options.count)):
            print(json.dumps(line), flush=True)
    if found := binaries():
        with running(found) as server:
            for line in asyncio.run(measure_records("postgres", server.new_database(), options.count)):
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
