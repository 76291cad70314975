"""Folders on disk: the manifest of what really lies there.

Whoever wrote the folder may be a stranger's program: it is walked by open directories, never by long paths, never
through a link, and no further than a dataset may reach.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

from suanmesh_content.manifest import DEPTH_MAX, FILES_MAX, PATH_BYTES_MAX, ContentFile, Manifest
from suanmesh_content.sparse import contents

Result = TypeVar("Result")

ENTRIES_MAX = 2 * FILES_MAX
"""Most files and folders together that are looked at before a folder is given up."""
_SHOWN_CHARS = 100
_FOLDER = os.O_RDONLY | os.O_DIRECTORY


class FolderError(ValueError):
    """A folder that cannot be a dataset; the text names what is in the way, relative to that folder."""


@dataclass(frozen=True, slots=True)
class RegularFile:
    """A regular file of a folder that is being walked. `folder_fd` is open until the walk goes on."""

    path: str
    """Relative to the folder walked, with `/`."""
    folder_fd: int
    """The directory it lies in."""
    name: str
    facts: os.stat_result

    def open(self) -> int:
        """A descriptor to read it by. Raises FolderError where it is no regular file any more, or not readable."""
        try:
            opened = os.open(self.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self.folder_fd)
        except OSError as fault:
            raise _unreadable(self.path, fault) from fault
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise _strange(self.path)
        return opened


class _Level:
    """A directory that is being walked."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.entries = os.scandir(fd)

    def close(self) -> None:
        self.entries.close()
        os.close(self.fd)


def read_folder(folder: Path) -> Manifest:
    """The manifest of all regular files under `folder`, every byte read. Empty folders leave no trace.

    Raises FolderError where `folder` is none, is deeper or larger than a dataset may be, cannot be read, or holds
    anything but folders and regular files: a link could lead out of the dataset, and a pipe never ends. Raises
    ManifestError where a file's name cannot be a path of a manifest.
    """
    return finished(reading_folder(folder))


def reading_folder(folder: Path) -> Generator[int, None, Manifest]:
    """`read_folder` in steps: yields the bytes of each, at most a mebibyte, and returns the manifest."""
    made = []
    with closing(regular_files(folder)) as files:
        for file in files:
            made.append((yield from _reading_file(file)))
    return Manifest.of(made)


def regular_files(folder: Path) -> Generator[RegularFile, None, None]:
    """Every regular file under `folder`. Raises FolderError as `read_folder` does; close it to end it early."""
    levels = [_top(folder)]
    seen = 0
    try:
        while levels:
            level = levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                levels.pop().close()
                continue
            seen += 1
            path = f"{level.path}/{entry.name}" if level.path else entry.name
            _check_bounds(path, seen)
            if entry.is_dir(follow_symlinks=False):
                levels.append(_below(level, path, entry.name))
            elif entry.is_file(follow_symlinks=False):
                yield RegularFile(path, level.fd, entry.name, entry.stat(follow_symlinks=False))
            else:
                raise _strange(path)
    finally:
        for level in levels:
            level.close()


def finished(steps: Generator[int, None, Result]) -> Result:
    """What work in steps returns, all steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def _reading_file(file: RegularFile) -> Generator[int, None, ContentFile]:
    fd = file.open()
    try:
        facts, hasher = os.fstat(fd), blake3()
        yield 0  # an empty file is a step as well
        for piece in contents(fd, facts.st_size):
            hasher.update(piece)
            yield len(piece)
    finally:
        os.close(fd)
    executable = bool(facts.st_mode & stat.S_IXUSR)
    return ContentFile(path=file.path, size_bytes=facts.st_size, digest=hasher.digest(), executable=executable)


def _top(folder: Path) -> _Level:
    try:
        return _Level("", os.open(folder, _FOLDER))
    except OSError as fault:
        raise FolderError(f"it is not a folder that can be read: {fault.strerror}") from fault


def _below(level: _Level, path: str, name: str) -> _Level:
    try:
        return _Level(path, os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=level.fd))
    except OSError as fault:
        raise _unreadable(path, fault) from fault


def _check_bounds(path: str, seen: int) -> None:
    if seen > ENTRIES_MAX:
        raise FolderError(f"more than {ENTRIES_MAX} files and folders lie in it")
    if path.count("/") > DEPTH_MAX:
        raise FolderError(f"{_shown(path)} lies more than {DEPTH_MAX} folders deep")
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise FolderError(f"{_shown(path)} is a path of more than {PATH_BYTES_MAX} bytes")


def _shown(path: str) -> str:
    """A path as it is told to people, whatever bytes somebody named it with."""
    return repr(path if len(path) <= _SHOWN_CHARS else f"{path[:_SHOWN_CHARS]}…")


def _strange(path: str) -> FolderError:
    return FolderError(f"{_shown(path)} is neither a folder nor a regular file")


def _unreadable(path: str, fault: OSError) -> FolderError:
    return FolderError(f"{_shown(path)} cannot be read: {fault.strerror}")
