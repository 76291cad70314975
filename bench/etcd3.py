"""What our etcd client costs: `python bench/etcd3.py`.

Every figure is a rate at the same concurrency through suanmesh_etcd3 and through bare multicallables on one channel, in
turns on the same single member and machine. Prints one JSON object a line: {"name", "value", "unit", "baseline",
"ratio"}; value and baseline are medians, ratio is the median of the ratios of neighbouring turns.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import grpc

from suanmesh.etcdwire.v1 import etcdwire_pb2 as pb
from suanmesh_etcd3 import Client, Compare, Op, connect
from suanmesh_local.etcd import EtcdCluster

ROUNDS = 15
FLIGHT = 32
CALLS = 3_000
WATCHED_REVISIONS = 1_000
WATCH_ROUNDS = 61
"""etcd serves a watch of the past at its next tick of 100 ms and at a speed that changes by a fifth from one watch to
the next: only many turns tell a client that costs a few in a hundred."""
WATCHED_OPS = 20
WATCHED = WATCHED_REVISIONS * WATCHED_OPS
VALUE = b"x" * 512
KEYS = [b"/bench/%04d" % n for n in range(256)]
KEYS_SET = frozenset(KEYS)

Call = Callable[[bytes], Awaitable[object]]
Turn = Callable[[], Awaitable[float]]


class Bare:
    """The same calls with nothing around them."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._put = channel.unary_unary(
            "/etcdserverpb.KV/Put", pb.PutRequest.SerializeToString, pb.PutResponse.FromString
        )
        self._range = channel.unary_unary(
            "/etcdserverpb.KV/Range", pb.RangeRequest.SerializeToString, pb.RangeResponse.FromString
        )
        self._txn = channel.unary_unary(
            "/etcdserverpb.KV/Txn", pb.TxnRequest.SerializeToString, pb.TxnResponse.FromString
        )
        self._watch = channel.stream_stream(
            "/etcdserverpb.Watch/Watch", pb.WatchRequest.SerializeToString, pb.WatchResponse.FromString
        )

    async def put(self, key: bytes) -> object:
        return await self._put(pb.PutRequest(key=key, value=VALUE), timeout=5)

    async def get(self, key: bytes) -> object:
        return (await self._range(pb.RangeRequest(key=key), timeout=5)).kvs[0].value

    async def txn(self, key: bytes) -> object:
        compare = pb.Compare(result=pb.Compare.GREATER, target=pb.Compare.MOD, key=key, mod_revision=0)
        put = pb.RequestOp(request_put=pb.PutRequest(key=key, value=VALUE))
        read = pb.RequestOp(request_range=pb.RangeRequest(key=key))
        return (await self._txn(pb.TxnRequest(compare=[compare], success=[put], failure=[read]), timeout=5)).succeeded

    async def watch(self, start: int, count: int) -> None:
        call = self._watch()
        create = pb.WatchCreateRequest(key=b"/bench/", range_end=b"/bench0", start_revision=start, fragment=True)
        await call.write(pb.WatchRequest(create_request=create))
        while count:
            answer = await call.read()
            assert isinstance(answer, pb.WatchResponse)
            for event in answer.events:
                count -= event.kv.key in KEYS_SET and event.kv.value == VALUE and event.kv.mod_revision >= start
        call.cancel()


class Ours:
    """Calls through the client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def put(self, key: bytes) -> object:
        return await self._client.put(key, VALUE)

    async def get(self, key: bytes) -> object:
        found = await self._client.get(key)
        return found and found.value

    async def txn(self, key: bytes) -> object:
        compare = Compare.mod_revision(key, ">", 0)
        return (await self._client.txn([compare], [Op.put(key, VALUE)], [Op.get(key)])).succeeded

    async def watch(self, start: int, count: int) -> None:
        async with aclosing(self._client.watch("/bench/", after_revision=start - 1)) as changes:
            while count:
                for event in (await anext(changes)).events:
                    count -= event.key in KEYS_SET and event.value == VALUE and event.mod_revision >= start


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            EtcdCluster(Path(folder)) as cluster,
            connect(cluster.endpoints) as client,
            grpc.aio.insecure_channel(
                cluster.endpoints[0], options=[("grpc.max_receive_message_length", -1)]
            ) as channel,
        ):
            await client.bulk_put((key, VALUE) for key in KEYS)
            ours, bare = Ours(client), Bare(channel)
            await compared("put_rate", "1/s", calls(ours.put), calls(bare.put))
            await compared("get_rate", "1/s", calls(ours.get), calls(bare.get))
            await compared("txn_rate", "1/s", calls(ours.txn), calls(bare.txn))
            start = await client.put("/other", b"") + 1
            for _ in range(WATCHED_REVISIONS):
                await client.txn([], [Op.put(key, VALUE) for key in KEYS[:WATCHED_OPS]])
            both = follows(ours.watch, start), follows(bare.watch, start)
            await compared("watch_rate", "events/s", *both, rounds=WATCH_ROUNDS)


async def compared(name: str, unit: str, ours: Turn, bare: Turn, rounds: int = ROUNDS) -> None:
    """Print one figure: turns in changing order, so that neither side has the better place."""
    rates: list[tuple[float, float]] = []
    await ours(), await bare()
    for number in range(rounds):
        if number % 2:
            mine = await ours()
            rates.append((mine, await bare()))
        else:
            base = await bare()
            rates.append((await ours(), base))
    value, baseline = (statistics.median(side) for side in zip(*rates, strict=True))
    ratio = statistics.median(mine / base for mine, base in rates)
    figure = {"name": name, "value": round(value), "unit": unit, "baseline": round(baseline), "ratio": round(ratio, 3)}
    print(json.dumps(figure), flush=True)


def calls(call: Call, count: int = CALLS) -> Turn:
    """A turn of many calls with some in flight; answers calls a second."""

    async def turn() -> float:
        keys = itertools.islice(itertools.cycle(KEYS), count)

        async def caller() -> None:
            for key in keys:
                await call(key)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(FLIGHT):
                tasks.create_task(caller())
        return count / (time.perf_counter() - began)

    return turn


def follows(watch: Callable[[int, int], Awaitable[None]], start: int) -> Turn:
    """A turn of following a history as fast as it comes; answers events a second."""

    async def turn() -> float:
        began = time.perf_counter()
        await watch(start, WATCHED)
        return WATCHED / (time.perf_counter() - began)

    return turn


if __name__ == "__main__":
    asyncio.run(main())
