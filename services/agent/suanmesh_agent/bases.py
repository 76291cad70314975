"""Earlier versions of large files that are brought: what of them is still the same need not be sent."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterable, Iterator
from pathlib import Path

from suanmesh.agent.v1 import agent_service_pb2 as pb
from suanmesh_agent.replicas import Replicas
from suanmesh_content import (
    BLOCK_BYTES,
    BLOCK_DIGEST_BYTES,
    Manifest,
    Part,
    PartError,
    block_digests,
    byte_chunks,
)

FILE_BYTES_MIN = 8 * 1024 * 1024
"""Smaller files are sent sooner than blocks of them are told."""
DIGESTS_MAX = 65_536
"""Of one message; the contract's bound."""


class Bases:
    """Files at the site by the numbers of those that they are earlier versions of."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._paths: dict[int, Path] = {}
        self._told: dict[int, int] = {}
        self._open: tuple[int, int] = (-1, -1)

    def find(self, replicas: Replicas, known: Iterable[str], missing: Collection[int]) -> None:
        """Look for files of the same path in replicas, `known` from the newest on."""
        large = {
            self._manifest.files[number].path: number
            for number in missing
            if self._manifest.files[number].size_bytes >= FILE_BYTES_MIN
        }
        for digest in known if large else ():
            if not replicas.has(digest):
                continue
            for file in replicas.manifest(digest).files:
                number = large.get(file.path)
                if number is not None and file.regular and file.size_bytes >= BLOCK_BYTES:
                    self._paths.setdefault(number, replicas.files(digest) / file.path)

    def telling(self) -> Generator[int, None, list[pb.FileBlocks]]:
        """The blocks of all that were found, in steps."""
        told: list[pb.FileBlocks] = []
        for number, path in sorted(self._paths.items()):
            digests = yield from block_digests(str(path), self._manifest.files[number].size_bytes)
            self._told[number] = len(digests) // BLOCK_DIGEST_BYTES * BLOCK_BYTES
            for offset, size in byte_chunks(len(digests), DIGESTS_MAX * BLOCK_DIGEST_BYTES):
                first = offset // BLOCK_DIGEST_BYTES
                told.append(pb.FileBlocks(file=number, first=first, digests=digests[offset : offset + size]))
        return told

    def filled(self, parts: Iterable[pb.FilePart | Part]) -> Iterator[Part]:
        """Parts with their bytes, those that are the same from the site's own disk. Raises PartError, OSError."""
        for part in parts:
            if isinstance(part, Part):
                yield part
                continue
            if not part.same_bytes:
                yield Part(part.file, part.offset, part.content)
                continue
            if part.offset < 0 or not 0 < part.same_bytes <= self._told.get(part.file, 0) - part.offset:
                raise PartError(f"file {part.file} has no {part.same_bytes} bytes at {part.offset} here")
            for begin, size in byte_chunks(part.same_bytes, BLOCK_BYTES):
                yield Part(part.file, part.offset + begin, os.pread(self._file(part.file), size, part.offset + begin))

    def close(self) -> None:
        """Nothing more is read."""
        if self._open[1] >= 0:
            os.close(self._open[1])
        self._open = (-1, -1)

    def _file(self, number: int) -> int:
        if self._open[0] != number:
            self.close()
            self._open = (number, os.open(self._paths[number], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))
        return self._open[1]
