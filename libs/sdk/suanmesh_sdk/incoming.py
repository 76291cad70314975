"""A dataset that comes into a folder: each file has another path until it is whole and its digest is right.

A folder at the top of the dataset that is not there yet is filled beside it, and gets its name when all its files have
come: to name each of them anew takes half as long as to write it. Other small files lie from the first in the folder
they belong into: some file systems take ten times as long to make many files in one folder, where many were removed
before. What has come of a large one waits beside the dataset to be gone on with.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suanmesh_content import (
    PACK_BYTES,
    ContentFile,
    Manifest,
    Part,
    PartError,
    Place,
    Run,
    Unpacking,
    carried,
    colliding,
    digest_of,
    finished,
    folded,
    runs_of,
)
from suanmesh_kernel.refusals import DataLoss

if TYPE_CHECKING:
    from suanmesh_sdk.sending import Progress

Alike = Callable[[Path, str, str], bool]
"""Whether the file system of an empty folder takes two names for one."""
_PLACE = struct.Struct("=qq")
_DRAFT = re.compile(r"(.*/)?\.suan-[0-9a-f]{16}(-[0-9]+|-names)?", re.DOTALL)
_MODES = 0o666, 0o777
"""Of files, and of those that may be run, as far as the user's umask lets them."""


def is_draft(path: str) -> bool:
    """Whether a get that broke off has left what lies at that path."""
    return _DRAFT.fullmatch(path) is not None


class Incoming:
    """One of them. Its calls may wait for a disk and follow one another. Every one of them raises OSError."""

    def __init__(self, folder: Path, manifest: Manifest, alike: Alike | None = None) -> None:
        self._folder = folder
        self._manifest = manifest
        self._alike = alike or _alike
        self._beside = folder / f".suan-{manifest.digest[:16]}"
        """What has come of large files that are not whole, how far that is, and folders that have no name yet."""
        self._aside = f"{self._beside}/folders"
        self._new: dict[str, int] = {}
        """Folders at the top of the dataset that are filled aside, and how many files are still to come into each."""
        self._place_file = -1
        self._listed: dict[str, frozenset[str] | None] = {}
        """The names in each folder of the dataset that is there, as `folded` has them; None for one nobody may list."""
        self._missing: dict[int, None] = {}
        self._begin = Place()
        self._unpacking: Unpacking | None = None
        self._folders: set[str] = set()
        """Those that are known to be folders of the dataset, and no links of somebody else's."""
        self.differing: list[str] = []
        """What `begin` found in the folder under names of the dataset with other content; it would be replaced."""
        self.colliding: list[Sequence[str]] = []
        """What `begin` found of the dataset that the folder's file system cannot hold side by side."""
        self._left: set[str] = set()
        """What of the dataset is not to be made, for what lies there."""
        self.bytes_done = 0
        self._files_done = 0
        self._partly = 0

    def begin(self) -> None:
        """Look for what is there already, from an earlier call as well."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._find_new()
        for number, file in enumerate(self._manifest.files):
            if not carried(self._manifest, number) or self._is_there(number):
                self._count(number)
            else:
                self._missing[number] = None
                self._expect(file.path, 1)
        self._find_differing()
        self._find_colliding()
        try:
            place = Place(*_PLACE.unpack((self._beside / "place").read_bytes()))
        except (FileNotFoundError, struct.error):
            return
        if next(iter(self._missing), -1) == place.file and (self._beside / str(place.file)).exists():
            self._begin = place

    def leave_differing(self) -> None:
        """Keep what lies there with other content, of what collides the first, and bring the rest."""
        taken = {*self.differing, *(path for group in self.colliding for path in group[1:])}
        for number, file in enumerate(self._manifest.files):
            parts = file.path.split("/")
            if taken.intersection("/".join(parts[:depth]) for depth in range(1, len(parts) + 1)):
                self._left.add(file.path)
                if self._missing.pop(number, 0) is None:
                    self._count(number)
                    self._expect(file.path, -1)
        if next(iter(self._missing), -1) != self._begin.file:
            self._begin = Place()

    def next_runs(self, bytes_max: int, runs_max: int) -> list[Run]:
        """What to ask for next, about `bytes_max` of it; nothing where all has come."""
        os.makedirs(self._aside, exist_ok=True)  # noqa: PTH103
        size, some = 0, []
        for number in self._missing:
            some.append(number)
            size += self._manifest.files[number].size_bytes
            if size >= bytes_max:
                break
        return runs_of(self._manifest, some, self._begin)[:runs_max]

    def take(self, parts: Iterable[Part]) -> None:
        """Write what has come. Raises DataLoss (`DIGEST_MISMATCH`) where a file is not what the manifest says."""
        if self._unpacking is None:
            self._unpacking = Unpacking(self._manifest, self._draft, self._whole, self._begin, modes=_MODES)
        try:
            self._unpacking.take(parts)
        except PartError as fault:
            raise DataLoss("DIGEST_MISMATCH", str(fault), domain="transport.suanmesh") from fault
        self._begin = self._unpacking.place
        self._partly = self._begin.offset
        if self._begin.offset:
            if self._place_file < 0:
                self._place_file = os.open(self._beside / "place", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.pwrite(self._place_file, _PLACE.pack(*self._begin), 0)

    def take_end(self) -> None:
        """All that was asked for has come. Raises as `take` does."""
        if self._unpacking is not None:
            self._unpacking.end()
            self._begin = self._unpacking.place
            self._partly = 0

    def pause(self) -> None:
        """Nothing more comes for now."""
        if self._unpacking is not None:
            self._unpacking.close()
            self._unpacking = None
        if self._place_file >= 0:
            os.close(self._place_file)
            self._place_file = -1

    def finish(self) -> None:
        """Make what needs no bytes, links last, and leave nothing beside."""
        for top in list(self._new):
            self._name_new(top)
        for file in self._manifest.files:
            if file.path in self._left:
                continue
            path = self._path(file.path)
            if file.folder:
                self._make_folder(file.path)
            elif file.link:
                if not (os.path.islink(path) and os.readlink(path) == file.link):  # noqa: PTH114, PTH115
                    _clear(path)
                    os.symlink(file.link, path)  # noqa: PTH211
            elif not file.size_bytes:
                _clear(path)
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODES[file.executable]))
        shutil.rmtree(self._beside, ignore_errors=True)

    def progress(self) -> Progress:
        """How far it is."""
        from suanmesh_sdk.sending import Progress

        files = self._manifest.files
        return Progress(self.bytes_done + self._partly, self._manifest.size_bytes, self._files_done, len(files))

    def _find_differing(self) -> None:
        """Look at what is under the dataset's names and not as the dataset has it."""
        plain: set[str] = set()  # folders that are folders, or not there
        for number, file in enumerate(self._manifest.files):
            if (number not in self._missing and carried(self._manifest, number)) or self._is_new(file.path):
                continue
            above = file.path.rpartition("/")[0]
            in_the_way = self._in_the_way(above, plain)
            if in_the_way or self._differs(file):
                self.differing.append(in_the_way or file.path)
        self.differing = sorted(set(self.differing))

    def _find_colliding(self) -> None:
        """Try names that may be taken for one another, where the dataset has such."""
        tried = self._folder / f"{self._beside.name}-names"
        for group in colliding(self._manifest):
            tried.mkdir(exist_ok=True)
            same = [path for path in group[1:] if self._all_alike(tried, group[0], path)]
            if same:
                self.colliding.append([group[0], *same])
        shutil.rmtree(tried, ignore_errors=True)

    def _all_alike(self, tried: Path, path: str, other: str) -> bool:
        """Whether two paths are one to the file system, part by part."""
        names = zip(path.split("/"), other.split("/"), strict=True)
        return all(self._alike(tried, name, another) for name, another in names if name != another)

    def _in_the_way(self, folder: str, plain: set[str]) -> str:
        """What lies where a folder of the dataset belongs, itself or one above it; empty for nothing."""
        if not folder or folder in plain:
            return ""
        if above := self._in_the_way(folder.rpartition("/")[0], plain):
            return above
        place = f"{self._folder}/{folder}"
        if os.path.islink(place) or (os.path.lexists(place) and not os.path.isdir(place)):  # noqa: PTH112, PTH114
            return folder
        plain.add(folder)
        return ""

    def _differs(self, file: ContentFile) -> bool:
        """Whether something else lies under its name; a file with another execute bit is the same."""
        path = f"{self._folder}/{file.path}"
        if not self._may_lie(file.path):
            return False
        try:
            facts = os.lstat(path)
        except OSError:
            return False
        if file.folder:
            return not stat.S_ISDIR(facts.st_mode)
        if file.link:
            return not stat.S_ISLNK(facts.st_mode) or os.readlink(path) != file.link  # noqa: PTH115
        if not stat.S_ISREG(facts.st_mode) or facts.st_size != file.size_bytes:
            return True
        return bool(file.size_bytes) and finished(digest_of(path, file.size_bytes)) != file.digest

    def _may_lie(self, path: str) -> bool:
        """Whether something may lie there. To ask for each of many files takes longer than to list their folders."""
        above, _, name = path.rpartition("/")
        if above not in self._listed:
            self._listed[above] = _names(self._where(above))
        names = self._listed[above]
        return names is None or folded(name) in names

    def _is_there(self, number: int) -> bool:
        """Whether the file lies where it comes to with the content and the bit it should have."""
        file = self._manifest.files[number]
        path = self._where(file.path)
        if not self._may_lie(file.path):
            return False
        try:
            facts = os.lstat(path)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size != file.size_bytes:
                return False
            if bool(facts.st_mode & stat.S_IXUSR) is not file.executable:
                return False
            return finished(digest_of(path, file.size_bytes)) == file.digest
        except OSError:
            return False

    def _whole(self, number: int, digest: bytes) -> None:
        file, draft = self._manifest.files[number], self._draft(number)
        if digest != file.digest:
            os.unlink(draft)  # noqa: PTH108 - there may be a hundred thousand
            raise DataLoss(
                "DIGEST_MISMATCH", f"{file.path!a} arrived damaged", domain="transport.suanmesh", path=ascii(file.path)
            )
        path = self._path(file.path)
        if draft != path:
            _rename(draft, path)
        self._missing.pop(number, None)
        self._count(number)
        self._expect(file.path, -1)
        self._partly = 0

    def _count(self, number: int) -> None:
        self.bytes_done += self._manifest.files[number].size_bytes
        self._files_done += 1

    def _draft(self, number: int) -> str:
        """Where a file lies until it is whole."""
        file = self._manifest.files[number]
        if file.size_bytes > PACK_BYTES:
            return f"{self._beside}/{number}"
        path = self._path(file.path)
        return path if self._is_new(file.path) else f"{path.rpartition('/')[0]}/{self._beside.name}-{number}"

    def _path(self, path: str) -> str:
        """Where a file of the dataset comes to, the folder above it made."""
        above = path.rpartition("/")[0]
        if above and above not in self._folders:
            self._make_folder(above)
        return self._where(path)

    def _where(self, path: str) -> str:
        """Where a file or folder of the dataset lies now."""
        return f"{self._aside}/{path}" if self._is_new(path) else f"{self._folder}/{path}"

    def _is_new(self, path: str) -> bool:
        """Whether it lies in a folder that is filled aside, or is one."""
        return bool(self._new) and path.partition("/")[0] in self._new

    def _find_new(self) -> None:
        """Folders at the top of the dataset that have files with bytes, and are not there."""
        numbers = (number for number in range(len(self._manifest.files)) if carried(self._manifest, number))
        paths = (self._manifest.files[number].path.partition("/") for number in numbers)
        for top in {top: None for top, slash, _ in paths if slash}:
            if not os.path.lexists(f"{self._folder}/{top}"):
                self._new[top] = 0

    def _expect(self, path: str, more: int) -> None:
        """So many more files, or fewer, come into the folder that a file is in; one that is whole gets its name."""
        top = path.partition("/")[0]
        if top in self._new:
            self._new[top] += more
            if more < 0 and not self._new[top]:
                self._name_new(top)

    def _name_new(self, top: str) -> None:
        """Give a folder that was filled aside its name; where something has that meanwhile, as to files alone."""
        del self._new[top]
        try:
            os.rename(f"{self._aside}/{top}", f"{self._folder}/{top}")  # noqa: PTH104
        except FileNotFoundError:  # all of it was left out
            return
        except OSError:
            self._folders = {folder for folder in self._folders if folder.partition("/")[0] != top}
            for file in self._manifest.files:
                whole = f"{self._aside}/{file.path}"
                if file.path.partition("/")[0] == top and file.path not in self._left and os.path.lexists(whole):
                    _rename(whole, self._path(file.path))

    def _make_folder(self, path: str) -> None:
        """Make a folder of the dataset; what lies in its way, also a link that leads elsewhere, gives way."""
        if path in self._folders:
            return
        above = path.rpartition("/")[0]
        if above:
            self._make_folder(above)
        place = self._where(path)
        if os.path.islink(place) or not os.path.isdir(place):  # noqa: PTH112, PTH114
            _clear(place)
            os.mkdir(place)  # noqa: PTH102
        self._folders.add(path)


def _alike(folder: Path, name: str, other: str) -> bool:
    """Whether a file by one name is there by the other."""
    made = f"{folder}/{name}"
    os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        return os.path.lexists(f"{folder}/{other}")
    finally:
        os.unlink(made)  # noqa: PTH108


def _names(folder: str) -> frozenset[str] | None:
    try:
        return frozenset(map(folded, os.listdir(folder)))  # noqa: PTH208 - no paths, of which there may be many
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError:
        return None


def _rename(whole: str, path: str) -> None:
    """Give a file its name, whatever has it."""
    try:
        os.rename(whole, path)  # noqa: PTH104
    except (IsADirectoryError, FileExistsError):
        _clear(path)
        os.rename(whole, path)  # noqa: PTH104


def _clear(path: str) -> None:
    """Make way for what is to have that name."""
    if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)  # noqa: PTH108
