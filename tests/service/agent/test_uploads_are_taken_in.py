"""What a user brings to a site: over mutual TLS, by ticket, as a stream that may break off at any message.

It is the same whether the site listens or only dials out, and a gateway carries the stream.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from suanmesh.agent.v1 import agent_service_pb2 as pb
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_agent import uploads as uploads_module
from suanmesh_agent.data_plane import Logs, Reader, Tickets, data_plane_budget
from suanmesh_agent.engines.memory import MemoryEngine
from suanmesh_agent.journal import Journal
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.service import AgentService, served
from suanmesh_agent.testing import FakeTransport
from suanmesh_agent.turns import Turns
from suanmesh_agent.upload_limits import UploadLimits
from suanmesh_agent.uploads import Uploads
from suanmesh_chassis import Signer
from suanmesh_chassis.ca import agent_server_name
from suanmesh_chassis.identity import agent_id, service_id
from suanmesh_chassis.signing import new_signing_key
from suanmesh_chassis.testing import NODE, USER, LoopbackNode
from suanmesh_content import PACK_BYTES, Manifest, Run, packs, read_folder
from suanmesh_kernel.owner_limits import NO_LIMITS, OwnerLimits, WorkKind
from suanmesh_kernel.refusals import InvalidArgument, PermissionDenied, Refusal, ResourceExhausted
from tests.service.agent.relaying import RelayGateway


class Site:
    """The data plane of `sites/a`, and a user who brings folders."""

    def __init__(self, node: LoopbackNode, folder: Path) -> None:
        self.node = node
        self.folder = folder / "site"
        self.replicas = Replicas(self.folder)
        self.limits = NO_LIMITS
        self.transport = FakeTransport()
        self.signer = Signer(new_signing_key(), service_id(NODE, "transport"))
        self.transport.ticket_key.key_id = self.signer.key_id
        self.transport.ticket_key.public_key = self.signer.public_key
        self.address = ""
        self.gateway: RelayGateway | None = None

    async def serve(self) -> None:
        clock, budget = self.node.clock, data_plane_budget()
        limits = UploadLimits(self.replicas, self.limits, lambda: "parties/owner")
        journal = Journal(self.folder / "agent.db")
        uploads = self.uploads = Uploads(self.replicas, self.transport, journal, Turns(), limits)
        tickets = Tickets("sites/a", self.transport, clock)
        logs = Logs(MemoryEngine(clock), budget)
        service = AgentService(
            tickets, Reader(self.replicas, clock, budget), logs, uploads, service_id(NODE, "gateway")
        )
        process = self.node.process("agent", identity=agent_id(NODE, "a"), dns_names=[agent_server_name(NODE, "a")])
        if self.gateway is not None:
            await self.gateway.connect(process, [served(service)])
        else:
            self.address = await self.node.serve(process, [served(service)])

    def call(self, caller: str = USER) -> Any:
        if self.gateway is not None:
            return self.gateway.user(caller).WriteFiles(timeout=30)
        return self.node.mesh(self.address, caller=caller).agent(self.address, site="sites/a").WriteFiles(timeout=30)

    def first(self, manifest: Manifest, **fields: object) -> pb.WriteFilesRequest:
        """The first message, with a ticket that says what is given beside what is usual."""
        values = {
            "dataset": "datasets/d", "digest": manifest.digest, "party": "parties/acme", "target": "sites/a",
            "writer": USER,
        }  # fmt: skip
        ticket = transfer_pb2.UploadTicket(**(values | fields))  # type: ignore[arg-type]
        ticket.expire_time.FromDatetime(self.node.clock.now() + timedelta(hours=1))
        signed = self.signer.sign(ticket.DESCRIPTOR.full_name, ticket.SerializeToString())
        return pb.WriteFilesRequest(site="sites/a", ticket=signed)

    async def begin(self, manifest: Manifest, **fields: object) -> tuple[Any, list[Run]]:
        """A call, and what the site wants."""
        call = self.call()
        await call.write(self.first(manifest, **fields))
        await call.write(pb.WriteFilesRequest(manifest=manifest.canonical(), manifest_ends=True))
        answer = await call.read()
        return call, [Run(run.first, run.count, run.offset) for run in answer.wanted]

    async def bring(self, source: Path, **fields: object) -> str:
        """All of it, in one call, which is over then: what it held at the site it holds no more."""
        manifest = read_folder(source)
        call, runs = await self.begin(manifest, **fields)
        await send(call, source, manifest, runs)
        stored = str((await call.read()).dataset)
        [each async for each in call]
        return stored


async def send(call: Any, source: Path, manifest: Manifest, runs: list[Run], most: int = 1 << 30) -> None:
    """At most so many packs, and the end only where those are all."""
    for number, pack in enumerate(packs(source, manifest, runs)):
        if number == most:
            return
        parts = [pb.FilePart(file=part.file, offset=part.offset, content=part.content) for part in pack]
        await call.write(pb.WriteFilesRequest(parts=parts))
    await call.write(pb.WriteFilesRequest(ends=True))


def _place(site: Site) -> bytes:
    """How far the upload says that it is; nothing where it has not begun."""
    return b"".join(path.read_bytes() for path in (site.folder / "incoming").glob("*/place")).strip(b"\0")


def _size(source: Path, manifest: Manifest, runs: list[Run]) -> int:
    return sum(len(part.content) for pack in packs(source, manifest, runs) for part in pack)


@pytest.fixture(params=["dialled", "relayed"])
async def site(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    async with LoopbackNode(tmp_path) as node, AsyncExitStack() as closing:
        made = Site(node, tmp_path)
        if request.param == "relayed":
            made.gateway = await closing.enter_async_context(RelayGateway(node))
        await made.serve()
        if made.gateway is not None:
            await made.gateway.connected()
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "deep" / "empty").mkdir(parents=True)
    (folder / "large").write_bytes(os.urandom(5 * PACK_BYTES + 3))
    (folder / "run.sh").write_text("#!/bin/sh")
    (folder / "run.sh").chmod(0o755)
    (folder / "void").touch()
    (folder / "deep" / "latest").symlink_to("../large")
    for number in range(50):
        (folder / f"small-{number}").write_text(str(number))
    return folder


async def test_a_folder_arrives_as_it_was_and_is_published(site: Site, source: Path) -> None:
    """What a researcher has on the desk must be what the task finds, and have the same digest."""
    assert await site.bring(source) == "datasets/d"
    manifest = read_folder(source)
    assert read_folder(site.replicas.files(manifest.digest)) == manifest
    stored = site.transport.datasets["datasets/d"]
    assert (stored.party, stored.digest, stored.files) == ("parties/acme", manifest.digest, len(manifest.files))
    assert not list((site.folder / "incoming").iterdir())


async def test_an_upload_that_broke_off_goes_on_where_it_was(site: Site, source: Path) -> None:
    """Hours of sending must not be lost with a connection."""
    manifest = read_folder(source)
    call, runs = await site.begin(manifest)
    await send(call, source, manifest, runs, most=3)
    while not _place(site):  # noqa: ASYNC110 - a file, written by a thread
        await asyncio.sleep(0.01)
    call.cancel()
    again, left = await site.begin(manifest)
    before, after = (
        sum(len(p.content) for pack in packs(source, manifest, each) for p in pack) for each in (runs, left)
    )
    assert before - 3 * PACK_BYTES <= after < before
    await send(again, source, manifest, left)
    assert (await again.read()).dataset == "datasets/d"
    assert read_folder(site.replicas.files(manifest.digest)) == manifest


async def test_files_that_lie_there_already_are_not_asked_for(site: Site, source: Path) -> None:
    """The next version of a large dataset differs in a few files, and only those are sent."""
    await site.bring(source)
    earlier = read_folder(source).digest
    (source / "small-7").write_text("changed")
    manifest = read_folder(source)
    call, runs = await site.begin(manifest, dataset="datasets/e", known=[earlier])
    assert [manifest.files[run.first].path for run in runs] == ["small-7"]
    await send(call, source, manifest, runs)
    assert (await call.read()).dataset == "datasets/e"
    assert read_folder(site.replicas.files(manifest.digest)) == manifest


async def test_what_was_damaged_on_its_way_is_asked_for_again(site: Site, source: Path) -> None:
    """A flipped bit must cost one file, never a wrong replica."""
    manifest = read_folder(source)
    call, runs = await site.begin(manifest)
    changed = source / "small-3"
    changed.write_text("x")
    await send(call, source, manifest, runs)
    wanted = (await call.read()).wanted
    assert [manifest.files[run.first].path for run in wanted] == ["small-3"]
    changed.write_text("3")
    await send(call, source, manifest, [Run(wanted[0].first, 1)])
    assert (await call.read()).dataset == "datasets/d"


@pytest.mark.parametrize(
    "fields",
    [{"target": "sites/b"}, {"writer": "spiffe://test/party/acme/user/eve"}, {"digest": "0" * 64}],
    ids=["another site", "another writer", "another manifest"],
)
async def test_a_ticket_lets_nobody_bring_what_it_is_not_for(
    site: Site, source: Path, fields: dict[str, object]
) -> None:
    """A site takes what its node has vouched for, and nothing else."""
    with pytest.raises((PermissionDenied, InvalidArgument)) as caught:
        await site.begin(read_folder(source), **fields)
    assert caught.value.reason in ("TICKET_INVALID", "MANIFEST_INVALID")
    assert not site.transport.datasets


async def test_a_party_has_so_many_uploads_at_a_time(site: Site, source: Path) -> None:
    """One user with many shells must leave room for the others."""
    manifest = read_folder(source)
    calls = []
    for number in range(uploads_module.UPLOADS_OF_PARTY_MAX):
        (source / "small-0").write_text(f"of {number}")
        manifest = read_folder(source)
        calls.append(await site.begin(manifest))
    (source / "small-0").write_text("one more")
    with pytest.raises(Refusal) as caught:
        await site.begin(read_folder(source))
    assert caught.value.reason in ("UPLOADS_TOO_MANY", "STREAMS_OF_CALLER_MAX")


async def test_a_full_disk_is_told_before_anything_is_sent(
    site: Site, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has sent for an hour must not learn then that there was never room."""
    monkeypatch.setattr(uploads_module, "FREE_BYTES_MIN", 1 << 60)
    with pytest.raises(ResourceExhausted, match="ROOM_MISSING"):
        await site.begin(read_folder(source))


async def test_what_nobody_goes_on_with_is_removed(site: Site, source: Path) -> None:
    """A site must not fill up with what people gave up, nor with transfers that ended while its agent was away."""
    call, _ = await site.begin(read_folder(source))
    call.cancel()
    site.replicas.incoming("t-1").mkdir(parents=True)
    now = site.node.clock.now().timestamp()
    site.replicas.sweep(now - 3600)
    assert len(list((site.folder / "incoming").iterdir())) == 2
    site.replicas.sweep(now + 3600, lambda: {"t-1"})
    assert [folder.name for folder in (site.folder / "incoming").iterdir()] == ["t-1"]
    site.replicas.sweep(now + 3600)
    assert not list((site.folder / "incoming").iterdir())


async def test_what_is_under_way_is_told(site: Site, source: Path) -> None:
    """An upload that takes days must not be swept away from under whoever sends it."""
    manifest = read_folder(source)
    call, runs = await site.begin(manifest)
    (under_way,) = site.uploads.under_way
    assert (site.folder / "incoming" / under_way / "files").is_dir()
    await send(call, source, manifest, runs)
    assert (await call.read()).dataset == "datasets/d"
    assert not site.uploads.under_way


async def test_twice_broken_off_sends_at_most_two_packs_again(site: Site, source: Path) -> None:
    """Over a bad line hours of sending would begin anew each time."""
    manifest = read_folder(source)
    sent = 0
    for _ in range(2):
        call, runs = await site.begin(manifest)
        sent += sum(len(p.content) for pack in list(packs(source, manifest, runs))[:2] for p in pack)
        before = _place(site)
        await send(call, source, manifest, runs, most=2)
        while _place(site) == before:  # noqa: ASYNC110 - a file, written by a thread
            await asyncio.sleep(0.01)
        call.cancel()
    again, left = await site.begin(manifest)
    await send(again, source, manifest, left)
    assert (await again.read()).dataset == "datasets/d"
    assert sent + _size(source, manifest, left) <= manifest.size_bytes + 2 * PACK_BYTES


async def test_what_lies_there_from_before_is_read_from_disk(site: Site, source: Path) -> None:
    """After a power cut a disk may hold less than was written: a replica is what can be read, not what was sent."""
    manifest = read_folder(source)
    call, runs = await site.begin(manifest)
    await send(call, source, manifest, runs, most=3)
    while not _place(site):  # noqa: ASYNC110 - a file, written by a thread
        await asyncio.sleep(0.01)
    call.cancel()
    call, left = await site.begin(manifest)
    (large,) = (site.folder / "incoming").glob("*/files/large")
    with large.open("r+b") as file:
        file.write(b"damaged")
    await send(call, source, manifest, left)
    wanted = (await call.read()).wanted
    assert "large" in [manifest.files[run.first].path for run in wanted]
    await send(call, source, manifest, [Run(run.first, run.count) for run in wanted])
    assert (await call.read()).dataset == "datasets/d"
    assert read_folder(site.replicas.files(manifest.digest)) == manifest


async def test_of_a_folder_that_is_there_but_for_a_tenth_a_tenth_is_sent(site: Site, tmp_path: Path) -> None:
    """Whoever brings a data set anew each day pays for what is new; names and places may have changed."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    (second / "moved").mkdir(parents=True)
    for number in range(100):
        content = os.urandom(4000)
        (first / f"{number}").write_bytes(content)
        (second / "moved" / f"as-{number}").write_bytes(content if number >= 10 else os.urandom(4000))
    await site.bring(first)
    manifest = read_folder(second)
    call, runs = await site.begin(manifest, dataset="datasets/e", known=[read_folder(first).digest])
    assert _size(second, manifest, runs) == manifest.size_bytes // 10
    await send(call, second, manifest, runs)
    assert (await call.read()).dataset == "datasets/e"
    assert read_folder(site.replicas.files(manifest.digest)) == manifest


async def test_what_a_stranger_has_there_is_asked_for_like_anything_else(site: Site, source: Path) -> None:
    """Whoever knows the digest of another's file must neither get it for that, nor learn that it lies here."""
    await site.bring(source, party="parties/stranger")
    changed = source / "one-more"
    changed.write_text("of acme")
    manifest = read_folder(source)
    call, runs = await site.begin(manifest)
    assert _size(source, manifest, runs) == manifest.size_bytes
    call.cancel()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (OwnerLimits(parties=frozenset({"parties/other"})), "UPLOADS_REFUSED"),
        (OwnerLimits(refused_kinds=frozenset({WorkKind.UPLOADS})), "UPLOADS_REFUSED"),
        (OwnerLimits(upload_party_bytes=8 * PACK_BYTES), "UPLOADS_TOO_LARGE"),
        (OwnerLimits(upload_bytes=8 * PACK_BYTES), "UPLOADS_TOO_LARGE"),
    ],
)
async def test_the_owner_bounds_what_others_bring(
    tmp_path: Path, source: Path, limits: OwnerLimits, reason: str
) -> None:
    """A disk that strangers fill is lost to its owner's own work."""
    async with LoopbackNode(tmp_path) as node:
        site = Site(node, tmp_path)
        site.limits = limits
        await site.serve()
        if reason == "UPLOADS_TOO_LARGE":
            await site.bring(source)
            await site.bring(source)  # the same again takes no more
            (source / "large").write_bytes(os.urandom(5 * PACK_BYTES))
        with pytest.raises(Refusal) as refused:
            await site.bring(source, dataset="datasets/e")
        assert refused.value.reason == reason
        assert await site.bring(source, dataset="datasets/own", party="parties/owner") == "datasets/own"
        if reason == "UPLOADS_TOO_LARGE":  # what was removed makes room
            for old in site.replicas.digests():
                assert site.replicas.remove(old, site.replicas.uses(old))
            assert await site.bring(source, dataset="datasets/e") == "datasets/e"
