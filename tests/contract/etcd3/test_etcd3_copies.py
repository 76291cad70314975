"""Copies of the whole store: what was acknowledged before is in one, and half of one is never taken for it."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_etcd3 import Client, CopyCheck, CopyTorn, Unavailable, connect
from suanmesh_local.etcd import EtcdCluster
from suanmesh_local.tools import cache_dir, etcd_restorer


async def test_a_copy_has_all_that_came_before_it_and_begins_a_cluster(
    client: Client, prefix: str, tmp_path: Path
) -> None:
    """A backup that lacks the last job, or that no etcd takes, is found out on the day it is needed."""
    values = [bytes([index % 251]) * 40_000 for index in range(60)]
    revision = await client.bulk_put((f"{prefix}{index}", value) for index, value in enumerate(values)) and (
        await client.put(f"{prefix}last", b"before")
    )
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(_writes(client, f"{prefix}while"))
        pieces = [piece async for piece in client.copied()]
        writing.cancel()
    (tmp_path / "copy").write_bytes(b"".join(pieces))

    cluster = EtcdCluster(tmp_path / "restored")
    [member] = cluster.members
    await asyncio.to_thread(_restore, tmp_path / "copy", member.folder / "data", member.name, cluster.peer_ports[0])
    async with cluster, connect(cluster.endpoints) as restored:
        last = await restored.get(f"{prefix}last")
        assert last is not None
        assert (last.value, last.mod_revision) == (b"before", revision)
        found = [await restored.get(f"{prefix}{index}") for index in range(len(values))]
        assert [each.value if each else None for each in found] == values


async def test_a_copy_that_breaks_off_is_none(client: Client, prefix: str, door: Any) -> None:
    """A member that dies while it sends would else leave a backup that looks like one."""
    await client.bulk_put((f"{prefix}{index}", bytes(100_000)) for index in range(100))
    async with connect([door.address]) as cut:
        pieces = cut.copied()
        await anext(pieces)
        door.drop()
        with pytest.raises(Unavailable):
            async for _ in pieces:
                pass


async def test_nobody_there_is_told_as_such() -> None:
    """Whoever makes a backup tries another member, which a wrong answer would not let them."""
    async with connect(["127.0.0.1:1"]) as client:
        with pytest.raises(Unavailable):
            async for _ in client.copied():
                pass


@given(st.binary(min_size=1, max_size=500), st.integers(1, 60), st.data())
def test_what_is_cut_off_or_changed_is_noticed(content: bytes, size: int, data: st.DataObject) -> None:
    """A disk that lost one byte of a backup must not bring back a node that differs in it."""
    whole = content + hashlib.sha256(content).digest()
    _checked(whole, size).require_whole()
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    for other in (whole[:place], changed):
        with pytest.raises(CopyTorn):
            _checked(other, size).require_whole()


def _checked(content: bytes, size: int) -> CopyCheck:
    check = CopyCheck()
    for start in range(0, len(content), size):
        check.take(content[start : start + size])
    return check


async def _writes(client: Client, key: str) -> None:
    while True:
        await client.put(key, b"")


def _restore(copy: Path, data: Path, name: str, peer: int) -> None:
    url = f"http://127.0.0.1:{peer}"
    command = [str(etcd_restorer(cache_dir()).path), "snapshot", "restore", str(copy), "--data-dir", str(data)]
    members = ["--name", name, "--initial-cluster", f"{name}={url}", "--initial-advertise-peer-urls", url]
    subprocess.run([*command, *members], check=True, capture_output=True)
