"""Pulling one dataset from another site: chunk by chunk, each verified and written down, the whole read back."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import aclosing
from functools import partial
from pathlib import Path

from suanmesh.agent.v1 import agent_service_pb2 as agent_pb
from suanmesh.transport.v1 import transfer_pb2
from suanmesh_agent.domain.pacing import chunk_bytes
from suanmesh_agent.following import Pauses
from suanmesh_agent.journal import Journal
from suanmesh_agent.ports import DataPath
from suanmesh_agent.replicas import Replicas, folders_of
from suanmesh_agent.turns import Turns
from suanmesh_content import (
    Assembly,
    Chunk,
    FolderError,
    Manifest,
    ManifestError,
    PieceError,
    manifest_from,
    plan_chunks,
    reading_folder,
    write_sparse,
)
from suanmesh_kernel.clock import Clock
from suanmesh_kernel.reasons import DETAIL, StateReason
from suanmesh_kernel.refusals import DataLoss, Refusal

IN_FLIGHT = 2
"""Requests open at a time: one is on its way while the other is written. So many chunks come again after a kill."""
GROUP_RANGES_MAX = 1000
READ_BACKS_MAX = 3


class PullFailed(Exception):
    """The transfer cannot be brought to its end, for `reason`."""

    def __init__(self, reason: StateReason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Pull:
    """One transfer on its way."""

    def __init__(
        self,
        transfer: transfer_pb2.Transfer,
        *,
        data_path: DataPath,
        journal: Journal,
        replicas: Replicas,
        clock: Clock,
        turns: Turns,
        patience_s: float,
    ) -> None:
        self._transfer = transfer
        self._turns = turns
        self._data_path = data_path
        self._journal = journal
        self._replicas = replicas
        self._clock = clock
        self._patience_s = patience_s
        self._name = transfer.name.rpartition("/")[2]
        self._folder = replicas.incoming(self._name)
        self._moved_at = clock.monotonic()
        self.bytes_done = 0
        self.chunks_done = 0
        self.chunks = 0

    async def to_the_end(self) -> Manifest:
        """Bring the dataset here and make it a replica. Raises PullFailed."""
        try:
            return await self._brought()
        except OSError as fault:  # a full or failing disk is this transfer's trouble, not the site's
            raise PullFailed(StateReason("DISK_FAULT", {DETAIL: str(fault.strerror)})) from fault
        except FolderError as fault:
            raise PullFailed(
                StateReason("DISK_FAULT", {DETAIL: f"something else lies where it comes in: {fault}"})
            ) from fault

    async def _brought(self) -> Manifest:
        manifest = await self._fetch_manifest()
        chunks = plan_chunks(manifest, chunk_bytes(self._transfer.rate_bps))
        self.chunks = len(chunks)
        for _ in range(READ_BACKS_MAX):
            await self._fetch(manifest, chunks)
            damaged = await self._turns.run(self._reading_back(manifest))
            if not damaged:
                await self._turns.run(self._replicas.adopting(self._name, manifest))
                return manifest
            doubted = [chunk.index for chunk in chunks if chunk.file in damaged]
            await self._journal.commit(partial(self._journal.doubt_chunks, self._transfer.name, doubted))
        raise PullFailed(_damaged("what lies on disk is not what was sent, time and again"))

    async def _fetch_manifest(self) -> Manifest:
        pauses = Pauses()
        while True:
            try:
                manifest = manifest_from(await self._data_path.manifest(self._transfer))
            except Refusal as refusal:
                await self._bear(refusal, pauses)
            except ManifestError as fault:
                raise PullFailed(StateReason("MANIFEST_INVALID", {DETAIL: str(fault)})) from fault
            else:
                if manifest.digest != self._transfer.digest:
                    raise PullFailed(_damaged("the source's manifest is another dataset's"))
                return manifest

    async def _fetch(self, manifest: Manifest, chunks: tuple[Chunk, ...]) -> None:
        verified = self._journal.verified_chunks(self._transfer.name)
        missing = [chunk for chunk in chunks if chunk.index not in verified]
        self.chunks_done = len(chunks) - len(missing)
        missing_bytes = sum(chunk.size_bytes for chunk in missing)
        self.bytes_done = sum(chunk.size_bytes for chunk in chunks) - missing_bytes
        await asyncio.to_thread(self._lay_out, manifest, missing_bytes)
        waiting = deque(_groups(missing, chunk_bytes(self._transfer.rate_bps)))
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(IN_FLIGHT):
                    workers.create_task(self._work_off(waiting, manifest))
        except BaseExceptionGroup as group:
            failed, _ = group.split((PullFailed, OSError))
            if failed:
                raise failed.exceptions[0] from None
            raise

    async def _work_off(self, waiting: deque[tuple[Chunk, ...]], manifest: Manifest) -> None:
        pauses = Pauses()
        while waiting:
            group = waiting.popleft()
            asked = [chunk.index for chunk in group]
            await self._journal.commit(partial(self._journal.ask_chunks, self._transfer.name, asked))
            arrived: set[int] = set()
            try:
                await self._receive(group, manifest, arrived)
                pauses.reset()
            except Refusal as refusal:
                await self._bear(refusal, pauses)
            if left := tuple(chunk for chunk in group if chunk.index not in arrived):
                waiting.appendleft(left)

    async def _receive(self, group: tuple[Chunk, ...], manifest: Manifest, arrived: set[int]) -> None:
        """Receive one request's chunks; those that are whole go to `arrived`, on disk and in the journal."""
        ranges = [agent_pb.ChunkRange(file=c.file, offset=c.offset, bytes=c.size_bytes) for c in group]
        received = 0
        assembly = Assembly([chunk.size_bytes for chunk in group])
        try:
            async with aclosing(self._data_path.fetch(self._transfer, ranges)) as answers:
                async for answer in answers:
                    received += len(answer.content)
                    whole = assembly.add(answer.range, answer.content, answer.digest)
                    if whole is not None and whole.sound:
                        await asyncio.to_thread(self._write, manifest, group[whole.range], whole.content)
                        arrived.add(group[whole.range].index)
        except PieceError as fault:
            raise DataLoss("DIGEST_MISMATCH", f"the source sent what was not asked for: {fault}") from fault
        finally:
            now_ns = int(self._clock.now().timestamp() * 1e9)
            verify = partial(self._journal.verify_chunks, self._transfer.name, tuple(arrived), received, now_ns)
            await self._journal.commit(verify)
        self.chunks_done += len(arrived)
        self.bytes_done += sum(chunk.size_bytes for chunk in group if chunk.index in arrived)
        self._moved_at = self._clock.monotonic()
        if len(arrived) < len(group):
            raise DataLoss("DIGEST_MISMATCH", f"{len(group) - len(arrived)} chunks were damaged on their way")

    def _write(self, manifest: Manifest, chunk: Chunk, content: bytearray) -> None:
        with (self._folder / manifest.files[chunk.file].path).open("r+b") as file:
            write_sparse(file.fileno(), chunk.offset, content)

    def _lay_out(self, manifest: Manifest, missing_bytes: int) -> None:
        """Make room for every file; those that are there already keep what they hold."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if not has_room(self._folder, missing_bytes):
            raise PullFailed(StateReason("DISK_FULL", {"missing_bytes": str(missing_bytes)}))
        lay_out(self._folder, manifest)

    def _reading_back(self, manifest: Manifest) -> Generator[int, None, frozenset[int]]:
        """Numbers of the files that are not on disk as the manifest says; none when the digest is the dataset's."""
        found = yield from reading_folder(self._folder)
        if found.digest == self._transfer.digest:
            return frozenset()
        here = {file.path: file for file in found.files}
        strange = here.keys() - {file.path for file in manifest.files}
        for path in strange:
            if here[path].folder:
                (self._folder / path).rmdir()
            else:
                (self._folder / path).unlink()
        return frozenset(i for i, file in enumerate(manifest.files) if here.get(file.path) != file) or frozenset(
            range(len(manifest.files))
        )

    async def _bear(self, refusal: Refusal, pauses: Pauses) -> None:
        """Wait and try again, until nothing has moved for so long that the source counts as gone."""
        if self._clock.monotonic() - self._moved_at >= self._patience_s:
            reason = StateReason("SOURCE_UNREACHABLE", {"silent_s": f"{self._patience_s:.0f}"})
            raise PullFailed(reason.after(StateReason.of(refusal)))
        await pauses.wait()


def lay_out(folder: Path, manifest: Manifest, *, carried: bool = True) -> None:
    """Make every file of a dataset at its size, its links and folders; what is there already keeps what it holds.

    Without `carried` files that have bytes are left to whoever brings them.
    """
    for each in folders_of(manifest):
        (folder / each).mkdir(parents=True, exist_ok=True)
    for file in manifest.files:
        path = folder / file.path
        if file.link:
            if not (path.is_symlink() and str(path.readlink()) == file.link):
                path.unlink(missing_ok=True)
                path.symlink_to(file.link)
        elif not file.folder and (carried or not file.size_bytes):
            with open(path, "ab") as made:  # noqa: PTH123 - there may be a hundred thousand
                if os.fstat(made.fileno()).st_size != file.size_bytes:
                    os.ftruncate(made.fileno(), file.size_bytes)
                os.fchmod(made.fileno(), 0o700 if file.executable else 0o600)


def _damaged(how: str) -> StateReason:
    return StateReason("DIGEST_MISMATCH", {DETAIL: how})


def _groups(chunks: Iterable[Chunk], bound_bytes: int) -> list[tuple[Chunk, ...]]:
    """Neighbouring chunks that are asked for together: small files in one request, at most one chunk's bytes."""
    groups: list[list[Chunk]] = []
    room = 0
    for chunk in chunks:
        if not groups or chunk.size_bytes > room or len(groups[-1]) >= GROUP_RANGES_MAX:
            groups.append([])
            room = bound_bytes
        groups[-1].append(chunk)
        room -= chunk.size_bytes
    return [tuple(group) for group in groups]


def has_room(folder: Path, wanted_bytes: int) -> bool:
    """Whether the disk under `folder` has `wanted_bytes` free."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize >= wanted_bytes
