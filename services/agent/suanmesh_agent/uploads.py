"""What users bring to the site: taken in and checked as it comes, published for its owner.

On disk, below `incoming/upload-<id>/`: `files/` with what has come, and `place`, how far in the manifest that is. A
kill costs what was on its way; an upload that nobody goes on with is removed after a day.
"""

from __future__ import annotations

import asyncio
import errno
import os
import struct
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

from blake3 import blake3

from suanmesh.agent.v1 import agent_service_pb2 as pb
from suanmesh.transport.v1 import dataset_pb2, transfer_pb2
from suanmesh.transport.v1 import transport_service_pb2 as transport_pb
from suanmesh.type.v1 import signed_pb2
from suanmesh_agent.bases import Bases
from suanmesh_agent.durable import to_disk_soon
from suanmesh_agent.journal import Journal
from suanmesh_agent.named_locks import NamedLocks
from suanmesh_agent.ports import TransportPort
from suanmesh_agent.pulling import has_room, lay_out
from suanmesh_agent.replicas import MODES, Replicas
from suanmesh_agent.turns import Turns
from suanmesh_agent.upload_limits import UploadLimits
from suanmesh_agent.wire import pinned
from suanmesh_content import (
    Manifest,
    ManifestError,
    Part,
    PartError,
    Place,
    Run,
    Unpacking,
    carried,
    copying,
    digest_of,
    runs_of,
)
from suanmesh_kernel.refusals import DataLoss, InvalidArgument, ResourceExhausted

MANIFEST_BYTES_MAX = 64 * 1024 * 1024
UPLOADS_OF_PARTY_MAX = 4
UPLOADS_MAX = 16
"""Under way at a time, of one party and of all."""
SILENT_S_MAX = 60.0
"""How long nothing may come of an upload before it counts as broken off."""
READ_BACKS_MAX = 3
RUNS_MAX = 10_000
"""Of one message; the contract's bound."""
FREE_BYTES_MIN = 256 * 1024 * 1024
"""What stays free on the site's disk: the journal lies there as well."""
_PLACE = struct.Struct("=qq")

Request = pb.WriteFilesRequest | list[Part]
"""A message of a call; of one that holds nothing but parts, these."""
Requests = AsyncIterator[Request]


class Uploads:
    """All of one site."""

    def __init__(
        self, replicas: Replicas, transport: TransportPort, journal: Journal, turns: Turns, limits: UploadLimits
    ) -> None:
        self._replicas = replicas
        self._transport = transport
        self._journal = journal
        self._turns = turns
        self._limits = limits
        self._under_way: Counter[str] = Counter()
        self._folders = NamedLocks()
        """Whoever goes on with an upload waits until its broken call has ended."""

    async def take(
        self, ticket: signed_pb2.Signed, claim: transfer_pb2.UploadTicket, requests: Requests, in_place_of: str = ""
    ) -> AsyncGenerator[pb.WriteFilesResponse, None]:
        """Take in what the ticket is for, and for it what has come of the digest `in_place_of`.

        Raises what `WriteFiles` refuses for.
        """
        async with self._counted(claim):
            manifest = await _manifest(requests, claim.digest)
            name, before = (_folder_name(claim.party, digest) for digest in (claim.digest, in_place_of or claim.digest))
            async with self._alone(name, before), self._limited(claim, manifest):
                if not self._replicas.has(claim.digest):
                    upload = _Upload(self._replicas, name, manifest)
                    with _disk_that_fills():
                        async for answer in upload.brought(requests, claim.known, before, self._turns):
                            yield answer
                        await self._turns.run(self._replicas.adopting(name, manifest))
                else:
                    yield pb.WriteFilesResponse(wanted_ends=True)
                    await _ended(requests)
            stored = await self._published(ticket, claim, manifest)
            await asyncio.to_thread(self._limits.brought, claim.party, claim.digest, manifest.size_bytes)
            yield pb.WriteFilesResponse(dataset=stored.name, version=stored.version)

    @asynccontextmanager
    async def _alone(self, name: str, before: str) -> AsyncGenerator[None, None]:
        """The one that has both folders; whoever wants the same two takes them in the same order."""
        async with AsyncExitStack() as had:
            for each in sorted({name, before}):
                await had.enter_async_context(self._folders.alone(each))
            yield

    @asynccontextmanager
    async def _limited(self, claim: transfer_pb2.UploadTicket, manifest: Manifest) -> AsyncGenerator[None, None]:
        """One that the owner of the site lets come."""
        with self._limits.admitted(claim.party, claim.digest, manifest.size_bytes):
            yield

    async def _published(
        self, ticket: signed_pb2.Signed, claim: transfer_pb2.UploadTicket, manifest: Manifest
    ) -> dataset_pb2.Dataset:
        dataset = dataset_pb2.Dataset(
            party=claim.party,
            digest=claim.digest,
            bytes=manifest.size_bytes,
            files=len(manifest.files),
            residency=claim.residency,
            labels=claim.labels,
        )
        dataset_id = claim.dataset.removeprefix("datasets/")
        ask = transport_pb.DatasetAsk(dataset_id=dataset_id, dataset=dataset, upload=ticket)
        stored = await self._transport.create_dataset(ask)
        await self._journal.commit(partial(self._journal.name_dataset, pinned(stored), claim.digest))
        self._replicas.announce()
        return stored

    @property
    def under_way(self) -> set[str]:
        """The folders that something is coming into now."""
        return self._folders.names

    @asynccontextmanager
    async def _counted(self, claim: transfer_pb2.UploadTicket) -> AsyncGenerator[None, None]:
        """One upload more of its party, whose content, and what it may copy from, stays meanwhile."""
        party = claim.party
        if self._under_way[party] >= UPLOADS_OF_PARTY_MAX or self._under_way.total() >= UPLOADS_MAX:
            message = f"{party} has as many uploads under way at this site as it may have"
            raise ResourceExhausted("UPLOADS_TOO_MANY", message, retry_delay_s=1.0, most=UPLOADS_OF_PARTY_MAX)
        self._under_way[party] += 1
        try:
            with ExitStack() as held:
                for digest in (claim.digest, *claim.known):
                    held.enter_context(self._replicas.held(digest))
                yield
        finally:
            self._under_way[party] -= 1


class _Upload:
    """One of them, in one call."""

    def __init__(self, replicas: Replicas, name: str, manifest: Manifest) -> None:
        self._replicas = replicas
        self._manifest = manifest
        self._folder = replicas.incoming(name)
        self._place_file = self._folder.parent / "place"
        self._bases = Bases(manifest)
        self._sound: set[int] = set()
        """Files that are as they should be."""

    async def brought(
        self, requests: Requests, known: Sequence[str], before: str, turns: Turns
    ) -> AsyncGenerator[pb.WriteFilesResponse, None]:
        """Ask for what is missing and take it, until each file is the manifest's.

        The digest of what comes in this call is taken as it comes; what lay there before is read.
        """
        begin = await asyncio.to_thread(self._laid_out)
        here = await turns.run(self._taking_over(before)) | await turns.run(self._copying_known(known))
        numbers = [n for n in range(len(self._manifest.files)) if carried(self._manifest, n)]
        missing = [number for number in numbers if number >= begin.file and number not in here]
        self._require_room(missing)
        await asyncio.to_thread(self._bases.find, self._replicas, known, missing)
        for blocks in await turns.run(self._bases.telling()):
            yield pb.WriteFilesResponse(blocks=blocks)
        for _ in range(READ_BACKS_MAX):
            for answer in _wanted(runs_of(self._manifest, missing, begin)):
                yield answer
            await self._received(requests, begin)
            missing, begin = await turns.run(self._damaged(numbers)), Place()
            if not missing:
                return
        raise DataLoss("UPLOAD_DAMAGED", "what lies on the site's disk is not what was sent, time and again")

    async def _received(self, requests: Requests, begin: Place) -> None:
        unpacking = Unpacking(self._manifest, self._path, self._arrived, begin, to_disk_soon, modes_of_whole=MODES)
        place_file = os.open(self._place_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while True:
                request = await _next(requests)
                parts, ends = (request, False) if isinstance(request, list) else (request.parts, request.ends)
                await asyncio.to_thread(self._taken, unpacking, parts, ends, place_file)
                if ends:
                    return
                del request, parts
        except PartError as fault:
            raise InvalidArgument("RANGE_INVALID", f"parts: {fault}", field="parts") from fault
        finally:
            unpacking.close()
            self._bases.close()
            os.close(place_file)

    def _arrived(self, number: int, digest: bytes) -> None:
        if digest == self._manifest.files[number].digest:
            self._sound.add(number)

    def _taken(self, unpacking: Unpacking, parts: Iterable[pb.FilePart | Part], ends: bool, place_file: int) -> None:
        unpacking.take(self._bases.filled(parts))
        if ends:
            unpacking.end()
            place = Place(len(self._manifest.files))
        else:
            place = unpacking.place
        os.pwrite(place_file, _PLACE.pack(*place), 0)

    def _laid_out(self) -> Place:
        """Make what the manifest alone says of; how far an earlier call came."""
        self._folder.mkdir(parents=True, exist_ok=True)
        os.utime(self._folder.parent)  # whoever removes what is old sees that somebody goes on with it
        lay_out(self._folder, self._manifest, carried=False)
        try:
            return Place(*_PLACE.unpack(self._place_file.read_bytes()))
        except (FileNotFoundError, struct.error):
            return Place()

    def _taking_over(self, before: str) -> Generator[int, None, set[int]]:
        """Take the files that have come with another upload of the same party, which is given up; their numbers. In
        steps."""
        folder = self._replicas.incoming(before)
        here: set[int] = set()
        for number, file in enumerate(self._manifest.files) if folder != self._folder and folder.exists() else ():
            path = f"{folder}/{file.path}"
            with suppress(OSError):  # it has not come
                if carried(self._manifest, number) and os.lstat(path).st_size == file.size_bytes:
                    self._arrived(number, (yield from digest_of(path, file.size_bytes)))
                    if number in self._sound:
                        os.rename(path, self._path(number))  # noqa: PTH104 - there may be a hundred thousand
                        here.add(number)
        return here

    def _copying_known(self, known: Sequence[str]) -> Generator[int, None, set[int]]:
        """Copy the files that lie here already, in datasets of the same party; their numbers. In steps."""
        sources = {digest: path for each in known if self._replicas.has(each) for digest, path in self._files(each)}
        here: set[int] = set()
        for number, file in enumerate(self._manifest.files):
            source = sources.get(file.digest) if carried(self._manifest, number) else None
            if source is not None:
                yield from self._copying(source, number)
                here.add(number)
        return here

    def _copying(self, source: Path, number: int) -> Generator[int, None, None]:
        """Copy a file, once: it gets its name when it is whole."""
        path, file = Path(self._path(number)), self._manifest.files[number]
        if path.exists() and path.stat().st_size == file.size_bytes:
            return
        draft = self._folder.parent / "copy"
        with source.open("rb") as read, draft.open("wb") as written:
            yield from copying(read.fileno(), written.fileno(), file.size_bytes)
            os.fchmod(written.fileno(), 0o700 if file.executable else 0o600)
        draft.rename(path)

    def _files(self, digest: str) -> Generator[tuple[bytes, Path], None, None]:
        folder = self._replicas.files(digest)
        for file in self._replicas.manifest(digest).files:
            if file.regular:
                yield file.digest, folder / file.path

    def _damaged(self, numbers: Sequence[int]) -> Generator[int, None, list[int]]:
        """Those of the files that are not what the manifest says. In steps."""
        for number in numbers:
            file = self._manifest.files[number]
            with suppress(OSError):  # what is not there, or no file, has to be sent
                if number not in self._sound:
                    self._arrived(number, (yield from digest_of(self._path(number), file.size_bytes)))
        return [number for number in numbers if number not in self._sound]

    def _require_room(self, missing: list[int]) -> None:
        size = sum(self._manifest.files[number].size_bytes for number in missing)
        if not has_room(self._folder, size + FREE_BYTES_MIN):
            raise ResourceExhausted("ROOM_MISSING", f"the site's disk has no room for {size} bytes", missing_bytes=size)

    def _path(self, number: int) -> str:
        return f"{self._folder}/{self._manifest.files[number].path}"


@contextmanager
def _disk_that_fills() -> Iterator[None]:
    """Raises ResourceExhausted (`ROOM_MISSING`) where others have filled the disk since there was room."""
    try:
        yield
    except OSError as fault:
        if fault.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ResourceExhausted("ROOM_MISSING", "the site's disk has filled while the data came") from fault


def _folder_name(party: str, digest: str) -> str:
    """Of what comes of that content of a party's: nobody else's work goes on there."""
    return f"upload-{blake3(f'{party} {digest}'.encode()).hexdigest(32)}"


async def _manifest(requests: Requests, digest: str) -> Manifest:
    """The manifest that comes first. Raises InvalidArgument (`MANIFEST_INVALID`)."""
    content = bytearray()
    while True:
        request = await _next(requests)
        if isinstance(request, list):
            continue
        content += request.manifest
        if len(content) > MANIFEST_BYTES_MAX:
            raise _no_manifest(f"it has more than {MANIFEST_BYTES_MAX} bytes")
        if request.manifest_ends:
            break
    try:
        return await asyncio.to_thread(Manifest.sent, bytes(content), digest)
    except ManifestError as fault:
        raise _no_manifest(str(fault)) from fault


def _no_manifest(why: str) -> InvalidArgument:
    return InvalidArgument("MANIFEST_INVALID", f"manifest: {why}", field="manifest")


def _wanted(runs: list[Run]) -> Generator[pb.WriteFilesResponse, None, None]:
    for begin in range(0, max(1, len(runs)), RUNS_MAX):
        some = [pb.FileRun(first=r.first, count=r.files, offset=r.offset) for r in runs[begin : begin + RUNS_MAX]]
        yield pb.WriteFilesResponse(wanted=some, wanted_ends=begin + RUNS_MAX >= len(runs))


async def _ended(requests: Requests) -> None:
    while isinstance(request := await _next(requests), list) or not request.ends:
        pass


async def _next(requests: Requests) -> Request:
    """The next message. Raises ResourceExhausted (`STREAM_STALLED`) where none comes for long."""
    try:
        async with asyncio.timeout(SILENT_S_MAX):
            return await anext(requests)
    except StopAsyncIteration:
        raise InvalidArgument("MANIFEST_INVALID", "the call ended before all was sent", field="ends") from None
    except TimeoutError as silent:
        message = f"nothing has come for {SILENT_S_MAX:g} s"
        raise ResourceExhausted("STREAM_STALLED", message, domain="mesh.suanmesh") from silent
