"""Blocks of large files: what of one a site has already, told by digests, so that only the others are sent.

Blocks lie at fixed places. What is changed in place or appended is found; what is put in before moves all behind it.
"""

from __future__ import annotations

import os
from collections.abc import Generator

from blake3 import blake3

BLOCK_BYTES = 1024 * 1024
"""As large as the parts that a large file is sent in."""
BLOCK_DIGEST_BYTES = 16
"""The digest of the whole file is checked all the same: a block that is taken for another costs time, and no more."""


def block_digest(content: bytes | memoryview) -> bytes:
    """What a block is told apart by."""
    return blake3(content).digest(BLOCK_DIGEST_BYTES)


def block_digests(path: str, size_max: int) -> Generator[int, None, bytes]:
    """Those of the whole blocks of a file within its first `size_max` bytes, in steps. Raises OSError."""
    digests = bytearray()
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        for offset in range(0, size_max - BLOCK_BYTES + 1, BLOCK_BYTES):
            content = os.pread(fd, BLOCK_BYTES, offset)
            if len(content) < BLOCK_BYTES:
                break
            digests += block_digest(content)
            yield BLOCK_BYTES
    finally:
        os.close(fd)
    return bytes(digests)
