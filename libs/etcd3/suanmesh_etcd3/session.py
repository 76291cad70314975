"""Keys that stand as long as their owner does, also through the loss of their lease."""

from __future__ import annotations

import asyncio
from typing import Self

from suanmesh_etcd3.client import Client
from suanmesh_etcd3.errors import LeaseNotFound, OutcomeUnknown, Unavailable
from suanmesh_etcd3.leases import Lease
from suanmesh_etcd3.values import Key, raw

RETRY_S = 0.2


class Session:
    """A lease with the keys that live on it; both are made anew, under a new epoch, when the lease is lost.

    The keys have one writer, this session, so writing one again is harmless. What was decided under an earlier epoch
    is to be decided again: between two epochs the keys were gone for a while. Use it as an async context manager.
    """

    def __init__(self, client: Client, ttl_s: int) -> None:
        """`ttl_s` is how long the keys outlive an owner that died."""
        self.epoch = 0
        """Grows with every lease; 0 before the first."""
        self._client = client
        self._ttl_s = ttl_s
        self._keys: dict[bytes, bytes] = {}
        self._lease: Lease | None = None
        self._one_writer = asyncio.Lock()
        self._renewed = asyncio.Condition()
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        self._lease = await self._client.lease(self._ttl_s)
        self.epoch = 1
        await self._tasks.__aenter__()
        self._standing = self._tasks.create_task(self._stand())
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._standing.cancel()
        await self._tasks.__aexit__(None, None, None)
        if self._lease:
            await self._lease.revoke()

    @property
    def alive(self) -> bool:
        """Whether the keys surely stand at this moment."""
        return self._lease is not None and self._lease.alive

    async def put(self, key: Key, value: bytes) -> None:
        """Keep a key from now on, whatever becomes of the lease. Raises what a put raises but LeaseNotFound."""
        async with self._one_writer:
            self._keys[raw(key)] = value
            assert self._lease
            try:
                await self._client.put(key, value, lease=self._lease.id)
            except LeaseNotFound:
                self._lease.lost.set()

    async def delete(self, key: Key) -> None:
        """Keep a key no longer."""
        async with self._one_writer:
            self._keys.pop(raw(key), None)
            await self._client.delete(key)

    async def reach(self, epoch: int) -> None:
        """Wait until the keys stand under an epoch."""
        async with self._renewed:
            await self._renewed.wait_for(lambda: self.epoch >= epoch)

    async def _stand(self) -> None:
        while True:
            assert self._lease
            await self._lease.lost.wait()
            try:
                await self._renew()
            except (Unavailable, OutcomeUnknown, LeaseNotFound):
                await asyncio.sleep(RETRY_S)

    async def _renew(self) -> None:
        """Make a lease and write the keys on it; the old lease stays the lost one until all of them stand."""
        async with self._one_writer:
            lease = await self._client.lease(self._ttl_s)
            standing = False
            try:
                for key, value in self._keys.items():
                    await self._client.put(key, value, lease=lease.id)
                standing = True
            finally:
                if not standing:
                    await lease.revoke()
            self._lease = lease
        async with self._renewed:
            self.epoch += 1
            self._renewed.notify_all()
