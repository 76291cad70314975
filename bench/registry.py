"""How fast pools are found: a search among 100,000, five predicates, the first 50, in the server; state in memory.

Measured is what the handler does: the filter is read and compiled, the columns are searched, the answer is built and
serialised. The searches take turns among filters of which some keep much and some keep nothing. The baseline, in the
same run, is the walk over every pool that the columns replaced; both must answer the same.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import time
from collections.abc import Iterable, Sequence

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.registry.v1 import registry_service_pb2 as pb
from suanmesh_chassis import Call
from suanmesh_chassis.ca import NodeCa
from suanmesh_chassis.identity import caller_of, user_id
from suanmesh_kernel.clock import SystemClock, seeded_rng
from suanmesh_kernel.filter_terms import parsed
from suanmesh_registry.assembly import Registry, assemble
from suanmesh_registry.settings import RegistrySettings
from suanmesh_registry.testing import Found, searched, some_capacity, some_pool, some_sites
from suanmesh_store import MemoryStore
from suanmesh_store.layout import POOLS, SITES

POOLS_A_SITE = 20
PAGE = 50
WALKS = 3
"""How many of the searches are also made by the walk, which takes seconds for each."""
FILTERS = (
    'architecture = "x86_64" AND phase = ACTIVE AND free.cpu_milli >= 16000 AND runtimes : "cuda12" '
    'AND site.residency : "cn"',
    'host_capacity.devices.class : "gpu" AND host_capacity.devices.model : "H*" AND free.memory_bytes >= 34359738368 '
    "AND site.liveness = ALIVE AND generation > 2",
    'architecture = "aarch64" AND site.city_code = "520100" AND site.pue_milli < 1200 AND capabilities.quantity : '
    '"tasks_walled_off" AND create_time >= "2023-12-01"',
    '(architecture = "x86_64" OR runtimes : "bash") AND NOT phase = ACTIVE AND party : "9" AND free.cpu_milli < 9000',
    'name : "site-049" AND architecture = "x86_64" AND phase = ACTIVE AND free.cpu_milli > 1 AND party = "parties/p8"',
    'architecture = "riscv64" AND phase = ACTIVE AND free.cpu_milli > 1 AND runtimes:"bash" AND site.residency : "eu"',
)


async def measure(count: int, rounds: int) -> Iterable[dict[str, object]]:
    """Search `count` pools `rounds` times with each filter."""
    registry, rows = await filled(count)
    times = await timed(registry, rounds)
    walks = [await walked(registry, rows, text) for text in FILTERS[:WALKS]]
    p50, baseline = statistics.median(times), statistics.median(walks)
    return [
        {
            "name": "search_p50",
            "value": round(p50, 2),
            "unit": "ms",
            "baseline": round(baseline, 1),
            "ratio": round(p50 / baseline, 5),
        },
        {"name": "search_p99", "value": round(statistics.quantiles(times, n=100)[98], 2), "unit": "ms"},
    ]


async def filled(count: int) -> tuple[Registry, list[Found]]:
    """A registry of so many pools, each with what it has free, and plainly what it holds."""
    clock, chance = SystemClock(), random.Random(1)
    store = MemoryStore("registry", clock=clock, rng=seeded_rng(1))
    sites = {site.name: site for site in some_sites(-(-count // POOLS_A_SITE), chance)}
    names = [f"{site}/pools/q{number:02}" for site in sites for number in range(POOLS_A_SITE)][:count]
    pools = [some_pool(name, chance) for name in names]
    await store.bulk_put(SITES, sites.items())
    await store.bulk_put(POOLS, ((pool.name, pool) for pool in pools))
    registry = await assemble("demo", store, clock, seeded_rng(2), NodeCa.create("demo", clock), RegistrySettings())
    states = [pool_pb2.PoolState(name=name, free=some_capacity(chance, share=chance.random())) for name in names]
    registry.catalogue.observe(states)
    gc.freeze()  # what a service has loaded stays; without this the collector walks it in the midst of a search
    return registry, found_of(pools, sites, states)


def found_of(
    pools: Sequence[pool_pb2.Pool], sites: dict[str, site_pb2.Site], states: Sequence[pool_pb2.PoolState]
) -> list[Found]:
    """What the walk looks at."""
    return [
        Found(pool, sites[pool.name.rpartition("/pools/")[0]], state) for pool, state in zip(pools, states, strict=True)
    ]


async def timed(registry: Registry, rounds: int) -> list[float]:
    """Milliseconds of each search."""
    times = []
    for turn in range(rounds):
        for text in FILTERS:
            begin = time.perf_counter()
            answer = await search(registry, text)
            answer.SerializeToString()
            if turn:
                times.append((time.perf_counter() - begin) * 1e3)
    return times


async def walked(registry: Registry, rows: Sequence[Found], text: str) -> float:
    """Milliseconds of the walk, which must find the same."""
    begin = time.perf_counter()
    expected = searched(parsed(text), rows, limit=PAGE)
    took = (time.perf_counter() - begin) * 1e3
    found = [each.pool.name for each in (await search(registry, text)).pools]
    assert found == expected, (text, found, expected)
    return took


async def search(registry: Registry, text: str) -> pb.SearchPoolsResponse:
    """One call of the handler."""
    caller = caller_of(user_id("demo", "acme", "ann"), "demo")
    call = Call("suanmesh.registry.v1.RegistryService/SearchPools", caller, "", "", b"", "bench", None, SystemClock())
    return await registry.service.SearchPools(pb.SearchPoolsRequest(filter=text, page_size=PAGE), call)


def main() -> None:
    """Print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="pools to search")
    parser.add_argument("--rounds", type=int, default=50, help="searches with each filter")
    options = parser.parse_args()
    for line in asyncio.run(measure(options.count, options.rounds)):
        print(json.dumps(line))


if __name__ == "__main__":
    main()
