"""A ledger whose disk is full says so, to callers and to whoever watches it, and goes on once there is room."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from suanmesh.accounting.v1 import account_pb2
from suanmesh.accounting.v1 import accounting_service_pb2 as pb
from suanmesh.type.v1.instance_pb2 import Instance
from suanmesh_accounting.main import build
from suanmesh_accounting.settings import AccountingSettings
from suanmesh_chassis.lifecycle import Lifecycle
from suanmesh_chassis.testing import OPERATOR, LoopbackNode
from suanmesh_kernel.clock import system_rng
from suanmesh_kernel.refusals import Unavailable
from suanmesh_store import MemoryKeyspace, MemoryStore
from suanmesh_store.layout import instances_of

STATES = health_pb2.HealthCheckResponse


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


async def test_a_full_disk_is_named_watched_and_passes(small_disk: Path) -> None:
    """Who waits for accounting must learn of the disk, not of a service that is away for no reason."""
    keys, stop = MemoryKeyspace(), asyncio.Event()
    async with LoopbackNode(small_disk) as node, asyncio.TaskGroup() as tasks:
        lifecycle: Lifecycle[AccountingSettings] = Lifecycle(
            node.process("accounting"), keys, AccountingSettings(resync_s=0.1), system_rng
        )
        living = tasks.create_task(lifecycle.live(build, stop))
        address = await _leader(MemoryStore("registry", keys=keys))
        mesh, channel = node.mesh(address, caller=OPERATOR), _channel(node, address)
        ledger = health_pb2.HealthCheckRequest(service="accounting.ledger")
        watched = health_pb2_grpc.HealthStub(channel).Watch(ledger)
        await _until(watched, STATES.SERVING)
        await mesh.accounting.CreateAccount(_account("one"))

        _fill(small_disk / "filler")
        refusal = await _refused(mesh)
        assert (refusal.reason, refusal.facts["area"]) == ("DISK_FULL", "accounting")
        await _until(watched, STATES.NOT_SERVING)
        assert (await mesh.accounting.GetAccount(pb.GetAccountRequest(name="accounts/one"))).name == "accounts/one"
        (small_disk / "filler").unlink()
        assert (await mesh.accounting.CreateAccount(_account("later"))).name == "accounts/later"
        await _until(watched, STATES.SERVING)

        assert not living.done()
        await channel.close()
        stop.set()


def _account(name: str) -> pb.CreateAccountRequest:
    account = account_pb2.Account(party="parties/acme", currency="CNY", kind=account_pb2.Account.KIND_CONSUMER)
    return pb.CreateAccountRequest(account_id=name, account=account, request_id=name)


async def _refused(mesh: Any) -> Unavailable:
    """Why accounts are not made any more; SQLite may have a page or two left."""
    for number in range(200):
        try:
            await mesh.accounting.CreateAccount(_account(f"a{number}"), timeout=4)  # it is asked again for so long
        except Unavailable as refusal:
            return refusal
    raise AssertionError("the disk is not full")


def _channel(node: LoopbackNode, address: str) -> grpc.aio.Channel:
    issued = node.ca.issue(OPERATOR)
    credentials = grpc.ssl_channel_credentials(issued.ca, issued.key, issued.certificate)
    options = (("grpc.ssl_target_name_override", "accounting.test.suanmesh"),)
    return grpc.aio.secure_channel(address, credentials, options=options)


async def _leader(store: MemoryStore) -> str:
    async with asyncio.timeout(60):
        listing = await store.tokens(instances_of("accounting"))
        found = [Instance.FromString(token.value) for token in listing.tokens]
        watch = store.watch_tokens(instances_of("accounting"), listing.revision, listing.tokens)
        while not (found and found[-1].leader):
            batch = await anext(watch)
            found += [Instance.FromString(token.value) for _, token in batch.changes if token is not None]
        await watch.aclose()
    return found[-1].address


async def _until(watched: Any, state: int) -> None:
    async with asyncio.timeout(60):
        while (await watched.read()).status != state:
            pass


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"x" * 4096)
