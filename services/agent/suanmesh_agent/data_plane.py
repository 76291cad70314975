"""What the data plane reads: datasets by ticket, paced to the ticket's rate, and the logs of tasks."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog
from blake3 import blake3
from google.protobuf.message import DecodeError

from suanmesh.scheduler.v1 import placement_pb2
from suanmesh.transport.v1 import transfer_pb2
from suanmesh.type.v1 import signed_pb2
from suanmesh_agent import wire
from suanmesh_agent.domain.log_view import WHOLE, LogView, Stamped, gap
from suanmesh_agent.domain.pacing import CHUNK_BYTES_MAX, Pace
from suanmesh_agent.domain.stages import Stage
from suanmesh_agent.domain.tasks import SETUP_INDEX, TaskKey
from suanmesh_agent.domain.tickets import Ticket, require_ticket
from suanmesh_agent.journal import Journal
from suanmesh_agent.ports import Engine, TransportPort
from suanmesh_agent.replicas import Replicas
from suanmesh_chassis.bounds import require_within
from suanmesh_chassis.budget import ByteBudget
from suanmesh_chassis.signing import verify
from suanmesh_content import PACK_BYTES, Chunk, Manifest, Run, byte_chunks, packs, serialized
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.refusals import InvalidArgument, NotFound, PermissionDenied, Refusal, Unavailable
from suanmesh_sdk.read_ahead import in_threads

log = structlog.get_logger()

PACES_MAX = 1024
"""Paced transfers that are remembered; beyond it the one idle for longest."""
KEYS_MAX = 8
"""Keys of the transport that are remembered: tickets outlive a restart of it with a new key."""
KEY_AGAIN_S = 5.0
"""A key nobody knows is asked for at most once in so long, whatever it is called: tickets are cheap to make up."""
PIECE_BYTES = 128 * 1024
"""Bytes of one message: what waits in memory for a caller that takes nothing."""
HELD_BYTES_MAX = 48 * 1024 * 1024
"""Bytes read and not yet taken, of all callers together; a message takes about twice its bytes."""
HELD_SHARE_BYTES = 12 * 1024 * 1024
"""Of one caller and dataset, or of one placement's logs."""
LOG_LOOK_AGAIN_S = 0.2
Claim = TypeVar("Claim", transfer_pb2.TransferTicket, transfer_pb2.UploadTicket)


def data_plane_budget() -> ByteBudget:
    """The one budget of a site's data plane."""
    return ByteBudget(total_bytes=HELD_BYTES_MAX, share_bytes=HELD_SHARE_BYTES)


class Tickets:
    """Checks tickets with the key the transport signs with, fetched when it is new; the old ones stay."""

    def __init__(self, site: str, transport: TransportPort, clock: Clock) -> None:
        self._site = site
        self._transport = transport
        self._clock = clock
        self._keys: dict[str, bytes] = {}
        self._asking = asyncio.Lock()
        self._ask_from = clock.monotonic()
        self._unanswered = False

    async def checked(self, signed: signed_pb2.Signed, reader: str) -> Ticket:
        """The ticket, when `reader` may use it here now; empty for a gateway, which has seen to that.

        Raises PermissionDenied (`TICKET_INVALID`), and Unavailable (`KEY_UNCHECKED`) where its key cannot be asked for.
        """
        ticket = wire.ticket_from(await self._claim(signed, transfer_pb2.TransferTicket))
        require_ticket(ticket, site=self._site, reader=reader or ticket.reader, now=self._clock.now())
        return ticket

    async def checked_upload(self, signed: signed_pb2.Signed, writer: str) -> transfer_pb2.UploadTicket:
        """The claim of a ticket to bring data, when `writer` may use it here now. Raises what `checked` does."""
        claim = await self._claim(signed, transfer_pb2.UploadTicket)
        ticket = wire.upload_ticket_from(claim)
        require_ticket(ticket, site=self._site, reader=writer or ticket.reader, now=self._clock.now())
        return claim

    async def _claim(self, signed: signed_pb2.Signed, kind: type[Claim]) -> Claim:
        key = await self._key(signed.key_id)
        if key is None or signed.payload_type != kind.DESCRIPTOR.full_name or not verify(signed, key):
            raise PermissionDenied("TICKET_INVALID", "the ticket is not signed by the transport", field="ticket")
        try:
            claim = kind.FromString(signed.payload)
            require_within(claim, field="ticket.payload")
        except (DecodeError, InvalidArgument) as error:
            raise PermissionDenied("TICKET_INVALID", "the ticket cannot be read", field="ticket") from error
        return claim

    async def _key(self, key_id: str) -> bytes | None:
        if key_id not in self._keys:
            async with self._asking:  # who comes meanwhile finds what was answered to the first
                if key_id not in self._keys and self._clock.monotonic() >= self._ask_from:
                    await self._ask()
        if key_id not in self._keys and self._unanswered:
            message = "the key the ticket is signed with is not known here yet, and the transport cannot be asked"
            raise Unavailable("KEY_UNCHECKED", message, domain="mesh.suanmesh", key_id=key_id[:200])
        return self._keys.get(key_id)

    async def _ask(self) -> None:
        self._unanswered = True
        try:
            known = await self._transport.get_ticket_key()
        except Refusal as refusal:
            log.warning("ticket key put off", reason=refusal.reason, message=refusal.message)
            return
        finally:
            self._ask_from = self._clock.monotonic() + KEY_AGAIN_S
        self._unanswered = False
        self._keys[known.key_id] = known.public_key
        if len(self._keys) > KEYS_MAX:
            self._keys.pop(next(iter(self._keys)))


@dataclass(frozen=True, slots=True)
class Piece:
    """The next bytes of a range; with the last of them comes the digest of the whole range, empty before."""

    chunk: Chunk
    content: bytes
    digest: bytes


class Reader:
    """Reads replicas, each transfer at the rate its ticket names whatever number of calls it comes in."""

    def __init__(self, replicas: Replicas, clock: Clock, budget: ByteBudget) -> None:
        self._replicas = replicas
        self._clock = clock
        self._budget = budget
        self._paces: OrderedDict[str, Pace] = OrderedDict()

    def manifest(self, ticket: Ticket) -> Manifest:
        """What the ticket's dataset holds. Raises NotFound (`REPLICA_UNKNOWN`)."""
        return Manifest.kept(self.canonical(ticket), ticket.digest)

    def canonical(self, ticket: Ticket) -> bytes:
        """The canonical form of that manifest. Raises as `manifest` does."""
        if not self._replicas.has(ticket.digest):
            raise NotFound("REPLICA_UNKNOWN", f"{ticket.dataset} is not at this site", name=ticket.dataset)
        return self._replicas.canonical(ticket.digest)

    def checked_paths(self, ticket: Ticket, wanted: Sequence[Chunk]) -> list[Path]:
        """The file of each range, when all lie within theirs. Raises NotFound and InvalidArgument."""
        manifest, folder = self.manifest(ticket), self._replicas.files(ticket.digest)
        for chunk in wanted:
            if not 0 <= chunk.file < len(manifest.files):
                raise NotFound("FILE_UNKNOWN", f"{ticket.dataset} has no file {chunk.file}", name=ticket.dataset)
            size = manifest.files[chunk.file].size_bytes
            fits = chunk.offset >= 0 and 1 <= chunk.size_bytes <= CHUNK_BYTES_MAX
            if not fits or chunk.offset + chunk.size_bytes > size:
                raise InvalidArgument(
                    "RANGE_INVALID", f"ranges: {chunk.index} lies outside of its file of {size} bytes", field="ranges"
                )
        return [folder / manifest.files[chunk.file].path for chunk in wanted]

    async def read(self, ticket: Ticket, wanted: Sequence[Chunk]) -> AsyncGenerator[Piece, None]:
        """Each range in pieces. A piece is read when its turn has come, and held until the next is asked for."""
        holder = f"{ticket.reader} {ticket.dataset}"  # a service reads for many: one dataset does not hold up another
        paths = await asyncio.to_thread(self.checked_paths, ticket, wanted)
        for path, chunk in zip(paths, wanted, strict=True):
            hasher = blake3()
            for offset, size in byte_chunks(chunk.size_bytes, PIECE_BYTES):
                if ticket.rate_bps:
                    await self._wait_turn(ticket, size)
                async with self._budget.hold(holder, size):
                    content = await asyncio.to_thread(_read_piece, path, chunk.offset + offset, size, hasher)
                    over = offset + size == chunk.size_bytes
                    yield Piece(chunk, content, hasher.digest() if over else b"")
                    del content

    async def files(self, ticket: Ticket, runs: Sequence[Run], field: int) -> AsyncGenerator[bytes, None]:
        """The files of `runs` in messages, each with a pack in its `field`; one is read while another is sent.

        Raises NotFound and InvalidArgument as `checked_paths` does.
        """
        manifest = await asyncio.to_thread(self.manifest, ticket)
        for run in runs:
            if run.first < 0 or run.files < 1 or run.first + run.files > len(manifest.files):
                raise NotFound("FILE_UNKNOWN", f"{ticket.dataset} has no file {run.first}", name=ticket.dataset)
            if not 0 <= run.offset <= manifest.files[run.first].size_bytes:
                problem = f"runs: {run.offset} lies outside of its file"
                raise InvalidArgument("RANGE_INVALID", problem, field="runs")
        made = packs(self._replicas.files(ticket.digest), manifest, runs)
        async with aclosing(in_threads(serialized(pack, field) for pack in made)) as messages:
            while True:
                async with self._budget.hold(f"{ticket.reader} {ticket.dataset}", 2 * PACK_BYTES):
                    message = await anext(messages, b"")
                    if not message:
                        return
                    yield message
                    del message

    async def _wait_turn(self, ticket: Ticket, size_bytes: int) -> None:
        now = self._clock.monotonic()
        pace = self._paces.pop(ticket.transfer, None) or Pace(ticket.rate_bps, spent_until=now)
        pace = self._paces[ticket.transfer] = pace.after(size_bytes, now)
        if len(self._paces) > PACES_MAX:
            self._paces.popitem(last=False)
        await asyncio.sleep(max(0.0, pace.spent_until - now))


class Logs:
    """Reads what tasks write."""

    def __init__(self, engine: Engine, budget: ByteBudget, journal: Journal | None = None) -> None:
        """The journal knows which tasks are run again; without it none is."""
        self._engine = engine
        self._budget = budget
        self._journal = journal

    async def newest(self, key: TaskKey) -> TaskKey:
        """The newest run of the task that has a log here."""
        while await asyncio.to_thread(self._engine.open_log, again := key.again()) is not None:
            key = again
        return key

    async def next_run(self, key: TaskKey) -> TaskKey | None:
        """The run behind one that has ended, once it has begun; None where the task is not run again."""
        while key.index != SETUP_INDEX and await self._runs_again(key):
            if await asyncio.to_thread(self._engine.open_log, again := key.again()) is not None:
                return again
            await asyncio.sleep(LOG_LOOK_AGAIN_S)
        return None

    async def _runs_again(self, key: TaskKey) -> bool:
        name = f"placements/{key.placement}"
        kept = self._journal.placement(name) if self._journal and self._journal.stage(name) is Stage.STARTED else None
        if kept is None:
            return False
        (look,) = await self._engine.inspect([key])
        return wire.retrying_of(placement_pb2.Placement.FromString(kept)).pause_s(look, key.retry) is not None

    async def read(
        self, key: TaskKey, offset: int, *, follow: bool, view: LogView = WHOLE
    ) -> AsyncGenerator[tuple[bytes, int], None]:
        """What the task wrote from `offset` on, and where it goes on; with `follow`, until it is over. Raises NotFound
        (`LOG_UNKNOWN`).

        Where a part was not kept, a line says how long it was.
        """
        kept = await asyncio.to_thread(self._engine.open_log, key)
        if kept is None:
            raise NotFound("LOG_UNKNOWN", f"{_unrun(key)} here", name=key.placement)
        offset = max(offset, await asyncio.to_thread(view.begin, kept))
        stamped = Stamped(at_begin=not offset or (await asyncio.to_thread(kept.read, offset - 1, 1))[1] == b"\n")
        while True:
            over = not follow or (await self._engine.inspect([key]))[0].over
            async with self._budget.hold(key.placement, PIECE_BYTES):
                begin, piece = await asyncio.to_thread(kept.read, offset, PIECE_BYTES)
                more = bool(piece)
                if more:
                    if begin > offset:
                        yield gap(begin - offset), begin
                    offset = begin + len(piece)
                    times = await asyncio.to_thread(kept.times) if view.timestamps else ()
                    for part in stamped.parts(begin, piece, times) if view.timestamps else ():
                        yield part, stamped.end
                    if not view.timestamps:
                        yield piece, offset
                del piece
            if not more and over:
                return
            if not more:
                await asyncio.sleep(LOG_LOOK_AGAIN_S)


def _read_piece(path: Path, offset: int, size: int, hasher: blake3) -> bytes:
    """Bytes of a file, taken into the digest of their range."""
    file = os.open(path, os.O_RDONLY)
    try:
        content = os.pread(file, size, offset)
    finally:
        os.close(file)
    hasher.update(content)
    return content


def _unrun(key: TaskKey) -> str:
    if key.index == SETUP_INDEX:
        return f"no log of the setup of {key.placement}: it has none, has not begun, or found what it makes"
    return f"no log of task {key.index} of {key.placement}"
