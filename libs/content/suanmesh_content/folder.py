"""Folders on disk: the manifest of what really lies there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from suanmesh_content.manifest import ContentFile, Manifest

_READ_BYTES = 1024 * 1024


class FolderError(ValueError):
    """A folder that cannot be a dataset; the text names what is in the way."""


def read_folder(folder: Path) -> Manifest:
    """The manifest of all regular files under `folder`, every byte read. Empty folders leave no trace.

    Raises FolderError where `folder` is none or holds anything but folders and regular files: a link could lead out
    of the dataset, and a pipe never ends. Raises ManifestError where a file's name cannot be a path of a manifest.
    """
    if not folder.is_dir():
        raise FolderError(f"{folder} is not a folder")
    return Manifest.of(_content_file(folder, path) for path in _regular_files(folder))


def file_digest(path: Path) -> bytes:
    """BLAKE3 of a file's bytes as they lie on disk, 32 bytes."""
    hasher = blake3()
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(_READ_BYTES))
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return hasher.digest()


def _content_file(folder: Path, path: Path) -> ContentFile:
    facts = path.stat()
    return ContentFile(
        path=path.relative_to(folder).as_posix(),
        size_bytes=facts.st_size,
        digest=file_digest(path),
        executable=bool(facts.st_mode & stat.S_IXUSR),
    )


def _regular_files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _regular_files(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
            else:
                raise FolderError(f"{entry.path} is neither a folder nor a regular file")
