"""Folders on disk: the manifest of what really lies there.

Whoever wrote the folder may be a stranger's program: it is walked by open directories, never by long paths, never
through a link, and no further than a dataset may reach.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

from suanmesh_content.left_out import LeftOut, Why, shown
from suanmesh_content.links import leading_out
from suanmesh_content.manifest import (
    DEPTH_MAX,
    FILES_MAX,
    PATH_BYTES_MAX,
    ContentFile,
    Manifest,
    a_folder,
    a_link,
)
from suanmesh_content.sparse import contents

Result = TypeVar("Result")
Skip = Callable[[str, bool], bool]
"""Whether a path is left out without a word; told whether it is a folder's, with all that lies in it."""

ENTRIES_MAX = 2 * FILES_MAX
"""Most files and folders together that are looked at before a folder is given up."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_NOTHING = os.stat_result((0,) * 10)


class FolderError(ValueError):
    """A folder that cannot be a dataset; the text names what is in the way, relative to that folder."""


class _Refused(Exception):
    """One entry that cannot be carried."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.name)
        self.why = why


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """A regular file, a link or an empty folder of a folder that is being walked."""

    path: str
    """Relative to the folder walked, with `/`."""
    name: str
    folder_fd: int
    """The directory a regular file lies in, open until the walk goes on."""
    facts: os.stat_result
    """Of a regular file."""
    link: str = ""
    """Where a link leads, relative to the folder it lies in."""
    folder: bool = False
    opened: list[int] = field(default_factory=list, compare=False)
    """The descriptor by which it was found readable, until `open` gives it away or the walk goes on."""

    @property
    def regular(self) -> bool:
        """Whether it is a file with bytes of its own."""
        return not self.link and not self.folder

    def open(self) -> int:
        """A descriptor to read a regular file by. Raises FolderError where it is none any more, or not readable."""
        if self.opened:
            return self.opened.pop()
        try:
            return _opened(self.name, self.folder_fd)[0]
        except _Refused as no:
            raise FolderError(f"{shown(self.path)}: {no.why.value.en}") from no


class _Level:
    """A directory that is being walked."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd
        self.entries = os.scandir(fd)

    def close(self) -> None:
        self.entries.close()
        os.close(self.fd)


def read_folder(folder: Path, left_out: LeftOut | None = None, skip: Skip | None = None) -> Manifest:
    """The manifest of all files, links and empty folders under `folder`, every byte read, but for what `skip` skips.

    What a dataset cannot hold, such as a pipe, a link that leads out of the folder or what cannot be read, is noted in
    `left_out`; without one it raises FolderError, as does a folder that is none, or has more entries than are looked
    at. Raises ManifestError where there are too many for a manifest.
    """
    return finished(reading_folder(folder, left_out, skip))


def read_file(path: Path) -> Manifest:
    """The manifest of one regular file, by its name alone. Raises FolderError."""
    folder_fd = os.open(path.parent, _FOLDER)
    try:
        entry = FolderEntry(path.name, path.name, folder_fd, path.stat())
        return Manifest.of([finished(_reading_file(entry))])
    except _Refused as no:
        raise FolderError(f"{shown(path.name)}: {no.why.value.en}") from no
    finally:
        os.close(folder_fd)


def reading_folder(
    folder: Path, left_out: LeftOut | None = None, skip: Skip | None = None
) -> Generator[int, None, Manifest]:
    """`read_folder` in steps: yields the bytes of each, at most a mebibyte, and returns the manifest."""
    made = []
    with closing(folder_entries(folder, left_out, skip=skip)) as entries:
        for entry in entries:
            if entry.link:
                made.append(a_link(entry.path, entry.link))
            elif entry.folder:
                made.append(a_folder(entry.path))
            else:
                try:
                    made.append((yield from _reading_file(entry)))
                except _Refused as no:
                    if left_out is None:
                        raise FolderError(f"{shown(entry.path)}: {no.why.value.en}") from no
                    left_out.add(entry.path, no.why)
                except OSError:  # a disk that fails, or a file system that makes files up
                    if left_out is None:
                        raise
                    left_out.add(entry.path, Why.UNREADABLE)
    return Manifest.of(made)


def folder_entries(
    folder: Path, left_out: LeftOut | None = None, *, known_as: Sequence[str] = (), skip: Skip | None = None
) -> Generator[FolderEntry, None, None]:
    """Every regular file under `folder`, then its links, then its empty folders.

    Raises and notes what it leaves out as `read_folder` does; close it to end it early. A link whose target begins with
    a path that `folder` is `known_as` leads into it, and is told relative to where it lies. What `skip` skips is as if
    it were not there.
    """
    walk = _Walk(folder, left_out, known_as, skip)
    try:
        yield from walk.files()
    finally:
        walk.close()
    yield from walk.links()
    yield from walk.empty_folders()


class _Walk:
    """One walk over a folder."""

    def __init__(self, folder: Path, left_out: LeftOut | None, known_as: Sequence[str], skip: Skip | None) -> None:
        self._levels = [_top(folder)]
        self._left_out = left_out
        self._known_as = [base.rstrip("/") for base in known_as]
        self._skip = skip
        self._seen = 0
        self._links: dict[str, str] = {}
        self._folders: list[str] = []
        self._filled: set[str] = set()
        """Folders that something lies in."""

    def files(self) -> Generator[FolderEntry, None, None]:
        """Regular files, as they are met."""
        while self._levels:
            level = self._levels[-1]
            entry = next(level.entries, None)
            if entry is None:
                self._levels.pop().close()
                continue
            self._seen += 1
            if self._seen > ENTRIES_MAX:
                raise FolderError(f"more than {ENTRIES_MAX} files and folders lie in it")
            path = f"{level.path}/{entry.name}" if level.path else entry.name
            if self._skip is not None and self._skip(path, entry.is_dir(follow_symlinks=False)):
                continue
            try:
                found = self._found(level, entry, path)
            except _Refused as no:
                self._leave_out(path, no.why)
            else:
                if found is not None:
                    self._filled.add(level.path)
                    try:
                        yield found
                    finally:
                        while found.opened:
                            os.close(found.opened.pop())

    def links(self) -> Generator[FolderEntry, None, None]:
        """Links, once all of them are known."""
        out = leading_out(self._links)
        for path, target in self._links.items():
            if path in out:
                self._leave_out(path, Why.LINK_LEADS_OUT)
                continue
            self._filled.add(path.rpartition("/")[0])
            yield FolderEntry(path, path.rpartition("/")[2], -1, _NOTHING, link=target)

    def empty_folders(self) -> Generator[FolderEntry, None, None]:
        """Folders that nothing lies in, or nothing that could be carried."""
        for path in reversed(self._folders):  # a folder is met before those within it
            above, _, name = path.rpartition("/")
            if path not in self._filled:
                yield FolderEntry(path, name, -1, _NOTHING, folder=True)
            self._filled.add(above)

    def close(self) -> None:
        """Close what is open of it."""
        for level in self._levels:
            level.close()
        self._levels.clear()

    def _found(self, level: _Level, entry: os.DirEntry[str], path: str) -> FolderEntry | None:
        """A regular file; a folder is entered, a link noted."""
        if path.count("/") > DEPTH_MAX:
            raise _Refused(Why.TOO_DEEP)
        if len(os.fsencode(path)) > PATH_BYTES_MAX:
            raise _Refused(Why.PATH_TOO_LONG)
        if entry.is_symlink():
            self._links[path] = self._target(level, entry.name, path)
        elif entry.is_dir(follow_symlinks=False):
            self._levels.append(_below(level, path, entry.name))
            self._folders.append(path)
        elif entry.is_file(follow_symlinks=False):
            if self._left_out is None:
                return FolderEntry(path, entry.name, level.fd, entry.stat(follow_symlinks=False))
            opened, facts = _opened(entry.name, level.fd)  # what cannot be read is known before anything is made of it
            return FolderEntry(path, entry.name, level.fd, facts, opened=[opened])
        else:
            raise _Refused(Why.NO_FILE)
        return None

    def _target(self, level: _Level, name: str, path: str) -> str:
        try:
            target = os.readlink(name, dir_fd=level.fd)
        except OSError as fault:
            raise _Refused(Why.UNREADABLE) from fault
        for base in self._known_as:
            if target == base or target.startswith(f"{base}/"):
                target = os.path.relpath(target.removeprefix(base).lstrip("/") or ".", path.rpartition("/")[0] or ".")
                break
        if len(os.fsencode(target)) > PATH_BYTES_MAX:
            raise _Refused(Why.PATH_TOO_LONG)
        return target

    def _leave_out(self, path: str, why: Why) -> None:
        if self._left_out is None:
            raise FolderError(f"{shown(path)}: {why.value.en}")
        self._left_out.add(path, why)


def finished(steps: Generator[int, None, Result]) -> Result:
    """What work in steps returns, all steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def digest_of(path: str, size_bytes: int) -> Generator[int, None, bytes]:
    """BLAKE3 of the first bytes of a file that is no link, in steps as `reading_folder` has them. Raises OSError."""
    fd, hasher = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), blake3()
    try:
        yield 0
        for piece in contents(fd, size_bytes):
            hasher.update(piece)
            yield len(piece)
    finally:
        os.close(fd)
    return hasher.digest()


def _reading_file(file: FolderEntry) -> Generator[int, None, ContentFile]:
    fd = file.open()
    try:
        facts, hasher = os.fstat(fd), blake3()
        yield 0  # an empty file is a step as well
        size = 0
        for piece in contents(fd, facts.st_size):
            hasher.update(piece)
            size += len(piece)
            yield len(piece)
        if size < facts.st_size:
            raise _Refused(Why.CHANGES)
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
        raise _Refused(Why.UNREADABLE) from fault


def _opened(name: str, folder_fd: int) -> tuple[int, os.stat_result]:
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder_fd)
    except OSError as fault:
        raise _Refused(Why.UNREADABLE) from fault
    facts = os.fstat(opened)
    if not stat.S_ISREG(facts.st_mode):
        os.close(opened)
        raise _Refused(Why.NO_FILE)
    return opened, facts
