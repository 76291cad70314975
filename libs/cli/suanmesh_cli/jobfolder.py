"""A folder as the files that a job brings: all that `.suanignore` does not leave out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from suanmesh_sdk.workdir import Skip, ignored


@dataclass(frozen=True, slots=True)
class Packed:
    """One file of the folder, by its path in it."""

    path: str
    content: bytes
    executable: bool


@dataclass(frozen=True, slots=True)
class Folder:
    """What was found, and what was left out for no fault of a pattern."""

    files: tuple[Packed, ...]
    left_out: tuple[str, ...]
    """Links that lead out of the folder or nowhere, and what is neither a file nor a folder."""


class TooLarge(Exception):
    """The folder has more than goes with a job itself, or what is no file: a folder without any, or a link to one."""


def packed(folder: Path, *, bytes_max: int, files_max: int, but: Path | None = None) -> Folder:
    """All files of a folder, in the order of their paths, `but` one. Raises OSError and TooLarge."""
    root = folder.resolve(strict=True)
    if not root.is_dir():
        raise NotADirectoryError(20, "not a folder")
    left_out: list[str] = []
    found = sorted(_found(root, ignored(root, but), left_out, files_max))
    if len(found) > files_max or sum((root / path).stat().st_size for path in found) > bytes_max:
        raise TooLarge
    files = [
        Packed(path, (root / path).read_bytes(), bool((root / path).stat().st_mode & stat.S_IXUSR)) for path in found
    ]
    return Folder(tuple(files), tuple(sorted(left_out)))


def _found(root: Path, skip: Skip, left_out: list[str], files_max: int) -> Iterator[str]:
    count = 0
    for parent, folders, names in os.walk(root):
        here = Path(parent)
        if here != root and not (folders or names):
            raise TooLarge
        for name in list(folders):
            path = (here / name).relative_to(root).as_posix()
            if skip(path, True):
                folders.remove(name)
            elif (here / name).is_symlink():  # a walk does not follow it: what it shows would come twice
                folders.remove(name)
                if _leads_within(here / name, root):
                    raise TooLarge
                left_out.append(path)
        for name in names:
            path = (here / name).relative_to(root).as_posix()
            if skip(path, False):
                continue
            count += 1
            if count > files_max:
                raise TooLarge
            if _is_inner_file(here / name, root):
                yield path
            else:
                left_out.append(path)


def _is_inner_file(path: Path, root: Path) -> bool:
    return _leads_within(path, root) and path.is_file()


def _leads_within(path: Path, root: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except OSError:
        return False
