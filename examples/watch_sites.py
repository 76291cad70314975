"""Watching sites: one line whenever a pool comes, goes, or has other cores free.

python examples/watch_sites.py 60     # for a minute; without a number until Ctrl-C
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from suanmesh.registry.v1 import site_pb2
from suanmesh_client import Client, connect
from suanmesh_sdk.enums import enum_name

EVERY_S = 2.0


async def main(seconds: float | None) -> None:
    """Look again and again, and say what is different."""
    known: dict[str, tuple[str, int]] = {}
    async with connect() as mesh:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    seen = await look(mesh)
                    for pool, (liveness, free) in sorted(seen.items()):
                        if known.get(pool) != (liveness, free):
                            print(f"{pool}: {liveness}, {free / 1000:g} cores free", flush=True)
                    for pool in sorted(known.keys() - seen.keys()):
                        print(f"{pool}: gone", flush=True)
                    known = seen
                    await asyncio.sleep(EVERY_S)


async def look(mesh: Client) -> dict[str, tuple[str, int]]:
    """Every pool: how its site is doing, and the thousandths of a core that are free."""
    return {
        found.pool.name: (
            enum_name(site_pb2.Site.Liveness, found.liveness, "LIVENESS_"),
            found.state.free.cpu_milli,
        )
        async for found in mesh.sites.search()
    }


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else None))
