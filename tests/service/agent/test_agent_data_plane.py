"""The data plane as other sites call it: over mutual TLS, with tickets checked without asking anybody.

It is the same whether the site listens or only dials out, and a gateway carries the calls.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from suanmesh.agent.v1 import agent_service_pb2 as pb
from suanmesh.agent.v1.agent_service_pb2_grpc import AgentServiceStub
from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.transport.v1 import transfer_pb2
from suanmesh.transport.v1.transport_service_pb2 import TicketKey
from suanmesh.type.v1 import signed_pb2
from suanmesh_agent.data_plane import KEY_AGAIN_S, PIECE_BYTES, Logs, Reader, Tickets, data_plane_budget
from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.domain.tasks import TaskKey, TaskSpec
from suanmesh_agent.engines.process.engine import ProcessEngine
from suanmesh_agent.journal import Journal
from suanmesh_agent.refused import KeptRefused
from suanmesh_agent.replicas import Replicas
from suanmesh_agent.service import AgentService
from suanmesh_agent.task_run import until_over
from suanmesh_agent.testing import FakeTransport, write_numbers
from suanmesh_agent.turns import Turns
from suanmesh_agent.upload_limits import UploadLimits
from suanmesh_agent.uploads import Uploads
from suanmesh_chassis import Served, Signer
from suanmesh_chassis.budget import ByteBudget
from suanmesh_chassis.ca import agent_server_name
from suanmesh_chassis.identity import agent_id, service_id
from suanmesh_chassis.signing import new_signing_key
from suanmesh_chassis.testing import NODE, USER, LoopbackNode
from suanmesh_content import Assembly, manifest_from
from suanmesh_kernel.clock import HandClock
from suanmesh_kernel.owner_limits import NO_LIMITS
from suanmesh_kernel.refusals import Refusal, Unavailable
from suanmesh_sdk.values import timestamp
from tests.service.agent.relaying import RelayGateway

SERVICE = pb.DESCRIPTOR.services_by_name["AgentService"]
READER = agent_id(NODE, "b")
GATEWAY = service_id(NODE, "gateway")
MIB = 1024 * 1024


class Site:
    """The data plane of `sites/a` with one dataset, and whoever calls it."""

    def __init__(self, node: LoopbackNode, folder: Path) -> None:
        self.node = node
        self.replicas = Replicas(folder)
        self.manifest = self.replicas.take_in({"": write_numbers(folder / "data", 2, 6 * MIB)})
        self.signer = Signer(new_signing_key(), service_id(NODE, "transport"))
        self.engine = ProcessEngine(folder / "tasks", sandbox=None, cgroups=None, runtime_path=())
        self.journal = Journal(folder / "agent.db")
        self.transport = FakeTransport()
        self.transport.ticket_key.key_id = self.signer.key_id
        self.transport.ticket_key.public_key = self.signer.public_key
        self.address = ""
        self.gateway: RelayGateway | None = None
        self.budget = data_plane_budget()
        self.refused = KeptRefused(self.journal)

    async def serve(self, *, stream_stall_s: float = 20.0) -> None:
        tickets = Tickets("sites/a", self.transport, self.node.clock)
        limits = UploadLimits(self.replicas, NO_LIMITS, str)
        uploads = Uploads(self.replicas, self.transport, self.journal, Turns(), limits)
        reader, logs = Reader(self.replicas, self.node.clock, self.budget), Logs(self.engine, self.budget, self.journal)
        service = AgentService(tickets, reader, logs, uploads, GATEWAY)
        process = self.node.process("agent", identity=agent_id(NODE, "a"), dns_names=[agent_server_name(NODE, "a")])
        patient = replace(process, common=replace(process.common, stream_stall_s=stream_stall_s))
        if self.gateway is None:
            self.address = await self.node.serve(patient, [Served(SERVICE, service)], refused=self.refused)
        else:
            await self.gateway.connect(patient, [Served(SERVICE, service)], refused=self.refused)
        self._stub = self.stub()

    def stub(self, caller: str = READER) -> AgentServiceStub:
        if self.gateway is not None:
            return self.gateway.stub(caller)
        return self.node.mesh(self.address, caller=caller).agent(self.address, site="sites/a")

    def fetch(self, times: int) -> Any:
        """The same 4 MiB so many times."""
        ranges = [pb.ChunkRange(file=0, offset=0, bytes=4 * MIB)] * times
        return self._stub.FetchChunks(pb.FetchChunksRequest(ticket=self.ticket(), ranges=ranges), timeout=60)

    def ticket(self, signer: Signer | None = None, /, **fields: object) -> signed_pb2.Signed:
        values = {
            "transfer": "transfers/t",
            "dataset": "datasets/d",
            "digest": self.manifest.digest,
            "source": "sites/a",
            "reader": READER,
        }
        lasts = fields.pop("lasts_s", 60)
        ticket = transfer_pb2.TransferTicket(**(values | fields))  # type: ignore[arg-type]
        ticket.expire_time.FromDatetime(self.node.clock.now() + timedelta(seconds=float(str(lasts))))
        return (signer or self.signer).sign(ticket.DESCRIPTOR.full_name, ticket.SerializeToString())


@pytest.fixture(params=["dialled", "relayed"])
async def site(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    async with LoopbackNode(tmp_path) as node, AsyncExitStack() as closing:
        made = Site(node, tmp_path)
        if request.param == "relayed":
            made.gateway = await closing.enter_async_context(RelayGateway(node))
        await made.serve()
        yield made


async def test_a_dataset_is_read_with_a_ticket(site: Site) -> None:
    """Another site gets exactly the bytes it asked for, in pieces, each range with its digest."""
    stub = site.stub()
    manifest = manifest_from(await stub.GetManifest(pb.GetManifestRequest(ticket=site.ticket())))
    assert manifest.digest == site.manifest.digest
    ranges = [pb.ChunkRange(file=1, offset=0, bytes=4 * MIB), pb.ChunkRange(file=0, offset=6 * MIB - 3, bytes=3)]
    request = pb.FetchChunksRequest(ticket=site.ticket(), ranges=ranges)
    answers = [answer async for answer in stub.FetchChunks(request)]
    files = site.replicas.files(site.manifest.digest)
    assembly = Assembly([each.bytes for each in ranges])
    wholes = [whole for answer in answers if (whole := assembly.add(answer.range, answer.content, answer.digest))]
    assert max(len(answer.content) for answer in answers) == PIECE_BYTES
    assert wholes[0].content == (files / manifest.files[1].path).read_bytes()[: 4 * MIB]
    assert wholes[1].content == (files / manifest.files[0].path).read_bytes()[-3:]
    assert all(whole.sound for whole in wholes)


@pytest.mark.parametrize(
    "fields",
    [{"source": "sites/c"}, {"reader": agent_id(NODE, "c")}, {"lasts_s": -1}],
    ids=["another source", "another reader", "expired"],
)
async def test_a_ticket_is_worth_only_what_it_says(site: Site, fields: dict[str, object]) -> None:
    """A ticket that was passed on or kept must not open anything."""
    refusal = await _refused(site, site.ticket(**fields))
    assert (refusal.code, refusal.reason) == ("PERMISSION_DENIED", "TICKET_INVALID")


async def test_a_forged_ticket_opens_nothing(site: Site) -> None:
    """Only the transport gives rights to data, and a changed ticket is no longer its ticket."""
    forged = site.ticket(Signer(new_signing_key(), service_id(NODE, "transport")))
    assert (await _refused(site, forged)).reason == "TICKET_INVALID"
    changed = site.ticket()
    changed.payload = changed.payload.replace(b"sites/a", b"sites/c")
    assert (await _refused(site, changed)).reason == "TICKET_INVALID"


class AwayTransport(FakeTransport):
    """A transport that can be cut off."""

    away = False

    async def get_ticket_key(self) -> TicketKey:
        if self.away:
            raise Unavailable("NOT_READY", "cut off", domain="mesh.suanmesh")
        return await super().get_ticket_key()


async def test_a_ticket_that_cannot_be_checked_is_not_denied(tmp_path: Path) -> None:
    """A transfer must wait for a cut to end, not fail; one that was begun before goes on, also under an older key."""
    clock = HandClock(datetime.now(UTC))
    async with LoopbackNode(tmp_path, clock) as node:
        site = Site(node, tmp_path)
        site.transport = transport = AwayTransport()
        transport.ticket_key = TicketKey(key_id=site.signer.key_id, public_key=site.signer.public_key)
        await site.serve()
        await site.stub().GetManifest(pb.GetManifestRequest(ticket=site.ticket()))
        fresh, transport.away = Signer(new_signing_key(), service_id(NODE, "transport")), True
        clock.advance(6)
        for _ in range(2):
            with pytest.raises(Unavailable, match="KEY_UNCHECKED"):
                await site.stub().GetManifest(pb.GetManifestRequest(ticket=site.ticket(fresh)), timeout=2.0)

        transport.ticket_key, transport.away = TicketKey(key_id=fresh.key_id, public_key=fresh.public_key), False
        clock.advance(6)
        for signer in (fresh, site.signer):
            await site.stub().GetManifest(pb.GetManifestRequest(ticket=site.ticket(signer)))


async def test_keys_nobody_knows_are_not_asked_for_without_end(tmp_path: Path) -> None:
    """Anybody could else have a site ask the transport as often as they make a ticket up."""
    clock = HandClock(datetime.now(UTC))
    async with LoopbackNode(tmp_path, clock) as node:
        site = Site(node, tmp_path)
        await site.serve()
        forgers = [Signer(new_signing_key(), service_id(NODE, "transport")) for _ in range(5)]
        for forger in forgers:
            assert (await _refused(site, site.ticket(forger))).reason == "TICKET_INVALID"
        assert site.transport.ticket_keys_asked == 1
        await site.stub().GetManifest(pb.GetManifestRequest(ticket=site.ticket()))

        fresh = forgers[0]
        site.transport.ticket_key.key_id, site.transport.ticket_key.public_key = fresh.key_id, fresh.public_key
        clock.advance(KEY_AGAIN_S)
        await site.stub().GetManifest(pb.GetManifestRequest(ticket=site.ticket(fresh)))
        assert site.transport.ticket_keys_asked == 2


async def test_what_is_not_here_is_said(site: Site) -> None:
    """A target that asks in the wrong place learns it at once, with the reason."""
    stub = site.stub()
    assert (await _refused(site, site.ticket(digest="00" * 32))).reason == "REPLICA_UNKNOWN"
    wrong = (
        (7, 0, 1, "FILE_UNKNOWN"),
        (0, 6 * MIB, 1, "RANGE_INVALID"),
        (0, -1, 1, "RANGE_INVALID"),
        (0, 0, 5 * MIB, "RANGE_INVALID"),
    )
    for file, offset, size, reason in wrong:
        request = pb.FetchChunksRequest(
            ticket=site.ticket(), ranges=[pb.ChunkRange(file=file, offset=offset, bytes=size)]
        )
        with pytest.raises(Refusal) as caught:
            [answer async for answer in stub.FetchChunks(request)]
        assert caught.value.reason == reason


async def test_users_do_not_reach_the_data_plane(site: Site) -> None:
    """Sites serve sites and services; a user goes through the transport, which checks whose data it is."""
    with pytest.raises(Refusal) as caught:
        await site.stub(USER).Echo(pb.EchoRequest(payload=b"x"))
    assert caught.value.reason == "ROLE_DENIED"


async def test_an_echo_comes_back(site: Site) -> None:
    """The measured round trip is that of the data plane itself."""
    assert (await site.stub().Echo(pb.EchoRequest(payload=b"probe"))).payload == b"probe"


async def test_two_calls_of_one_transfer_share_its_rate(site: Site) -> None:
    """A target that opens more calls must not get more than was reserved."""
    ticket = site.ticket(rate_bps=32_000_000)
    ranges = [pb.ChunkRange(file=0, offset=i * MIB, bytes=MIB) for i in range(4)]

    async def fetch() -> int:
        request = pb.FetchChunksRequest(ticket=ticket, ranges=ranges)
        return sum([len(answer.content) async for answer in site.stub().FetchChunks(request)])

    begin = time.monotonic()
    received = sum(await asyncio.gather(fetch(), fetch()))
    rate_bps = received * 8 / (time.monotonic() - begin)
    assert received == 8 * MIB
    assert rate_bps / 32_000_000 <= 1.02


async def test_a_stream_nobody_reads_is_ended_and_gives_its_memory_back(tmp_path: Path) -> None:
    """Hundreds of streams that are opened and never read took gigabytes of the site, for as long as somebody liked."""
    async with LoopbackNode(tmp_path) as node:
        site = Site(node, tmp_path)
        site.budget = ByteBudget(total_bytes=PIECE_BYTES, share_bytes=PIECE_BYTES)
        await site.serve(stream_stall_s=0.3)
        unread = site.fetch(100)
        await unread.read()
        assert await _taken(site.fetch(2)) == 8 * MIB  # there is room for one piece: it was given back
        with pytest.raises(Refusal) as caught:
            await _taken(unread)
        assert (caught.value.code, caught.value.reason) == ("RESOURCE_EXHAUSTED", "STREAM_STALLED")
        assert site.budget.held_bytes == 0


async def test_who_breaks_off_gives_back_what_was_read_for_it(site: Site) -> None:
    """A caller that comes and goes must not leave anything open behind it."""
    site.budget = ByteBudget(total_bytes=PIECE_BYTES, share_bytes=PIECE_BYTES)
    await site.serve()
    assert await _taken(site.fetch(1)) == 4 * MIB
    handles = _open_files()
    for _ in range(5):
        unread = site.fetch(100)
        await unread.read()
        unread.cancel()
    async with asyncio.timeout(60):
        assert await _taken(site.fetch(1)) == 4 * MIB
    assert _open_files() <= handles + 2


async def test_a_log_is_followed_to_its_end(site: Site) -> None:
    """Who follows a job sees its last words, and the stream ends by itself."""
    script = "echo one; sleep 0.3; echo two"
    await site.engine.submit([TaskSpec(TaskKey("p1", 0), ("sh", "-c", script), max_duration_s=10)])
    stub = site.stub(service_id(NODE, "scheduler"))
    pieces = [piece.content async for piece in stub.ReadLog(pb.ReadLogRequest(placement="placements/p1", follow=True))]
    assert b"".join(pieces) == b"one\ntwo\n"
    rest = [piece.content async for piece in stub.ReadLog(pb.ReadLogRequest(placement="placements/p1", offset=4))]
    assert b"".join(rest) == b"two\n"


async def test_a_task_that_is_run_again_is_followed_on(site: Site) -> None:
    """Who follows a job over night would find the first failure there, and nothing of the run that went well."""
    placement = placement_pb2.Placement(name="placements/p1")
    placement.work.retry.times = 2
    site.journal.keep_placement(placement.name, placement.SerializeToString())
    site.journal.go_on(placement.name, Stage.STARTED)

    async def run(retry: int, script: str) -> None:
        await site.engine.submit([TaskSpec(TaskKey("p1", 0, retry), ("sh", "-c", script), max_duration_s=10)])

    await run(0, "echo one; exit 1")
    stub, read = site.stub(service_id(NODE, "scheduler")), b""
    async for piece in stub.ReadLog(pb.ReadLogRequest(placement=placement.name, follow=True)):
        read += piece.content
        if read.endswith(b"one\n"):
            await run(1, "echo two; exit 1")
        elif read.endswith(b"two\n"):
            await run(2, "echo three; exit 1")
    assert read.replace(b"\n[the task is run again: retry ", b"[") == b"one\n[1]\ntwo\n[2]\nthree\n"
    alone = pb.ReadLogRequest(placement=placement.name, follow=True, retry=0)
    assert [piece.content async for piece in stub.ReadLog(alone)] == [b"one\n"]


async def test_a_part_of_a_log_is_read_and_that_of_a_run_before(site: Site) -> None:
    """Of a million lines somebody wants the last ten, with their times, or why the run before had failed."""
    for retry, script in enumerate(("echo failed; exit 1", "seq 1 20000; echo last")):
        key = TaskKey("p1", 0, retry)
        spec = TaskSpec(key, ("sh", "-c", script), max_duration_s=10, log_bytes=8000)
        await site.engine.submit([spec])
        await until_over(site.engine, [key])
    stub = site.stub(service_id(NODE, "scheduler"))

    async def read(**asked: Any) -> bytes:
        request = pb.ReadLogRequest(placement="placements/p1", **asked)
        return b"".join([piece.content async for piece in stub.ReadLog(request)])

    assert await read(retry=0) == b"failed\n"
    assert await read(tail_lines=2) == b"20000\nlast\n"
    assert re.fullmatch(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ last\n", await read(tail_lines=1, timestamps=True))
    whole = await read(since=timestamp(datetime.now(UTC) - timedelta(hours=1)))
    assert whole.startswith(b"1\n2\n")
    assert re.search(rb"\n\[\d+ bytes are left out here: a log is kept within a bound\]\n", whole)
    assert whole.endswith(b"20000\nlast\n")
    assert await read(since=timestamp(datetime.now(UTC) + timedelta(hours=1))) == b""
    with pytest.raises(Refusal) as caught:
        await read(retry=-1)
    assert caught.value.reason == "RANGE_INVALID"


async def test_a_log_goes_on_where_its_reader_was(site: Site) -> None:
    """A reader whose line was cut would see everything twice, or the log of a run that began since."""
    stub = site.stub(service_id(NODE, "scheduler"))

    async def run(retry: int, script: str) -> None:
        key = TaskKey("p1", 0, retry)
        await site.engine.submit([TaskSpec(key, ("sh", "-c", script), max_duration_s=10)])
        await until_over(site.engine, [key])

    await run(0, "printf 'one\\nhalf of two'")
    first = [piece async for piece in stub.ReadLog(pb.ReadLogRequest(placement="placements/p1"))]
    await run(1, "echo another run")

    async def read(token: str, **asked: Any) -> bytes:
        request = pb.ReadLogRequest(placement="placements/p1", resume_token=token, **asked)
        return b"".join([piece.content async for piece in stub.ReadLog(request)])

    assert (b"".join(piece.content for piece in first), await read(first[-1].resume_token)) == (
        b"one\nhalf of two",
        b"",
    )
    assert await read("0.4", tail_lines=7) == b"half of two"
    assert await read("0.9", timestamps=True) == b"of two", "the line has had its time"
    with pytest.raises(Refusal) as caught:
        await read("0.-1")
    assert caught.value.facts["field"] == "resume_token"


@pytest.mark.parametrize(
    ("placement", "reason"),
    [("placements/other", "LOG_UNKNOWN"), ("placements/../p1", "RANGE_INVALID"), ("", "RANGE_INVALID")],
)
async def test_a_log_that_is_not_here_is_said(site: Site, placement: str, reason: str) -> None:
    """A name must not lead out of the folder of tasks."""
    stub = site.stub(service_id(NODE, "scheduler"))
    with pytest.raises(Refusal) as caught:
        [piece async for piece in stub.ReadLog(pb.ReadLogRequest(placement=placement))]
    assert caught.value.reason == reason


async def _taken(answers: Any) -> int:
    return sum([len(answer.content) async for answer in answers])


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _refused(site: Site, ticket: signed_pb2.Signed) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await site.stub().GetManifest(pb.GetManifestRequest(ticket=ticket))
    return caught.value
