"""A folder as the files that a job brings: all that `.suanignore` does not leave out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pathspec

from suanmesh_kernel.texts import Text

IGNORE = ".suanignore"
ALWAYS = (".git/", "__pycache__/", f"/{IGNORE}")
FILES_MAX = 10_000
"""Files that are looked at."""
NAMED_MAX = 5


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
    """The folder has more than a job brings."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


def packed(folder: Path, *, bytes_max: int, files_max: int, but: Path | None = None) -> Folder:
    """All files of a folder, in the order of their paths, `but` one. Raises OSError and TooLarge."""
    root = folder.resolve(strict=True)
    if not root.is_dir():
        raise NotADirectoryError(20, "not a folder")
    left_out: list[str] = []
    found = sorted(_found(root, _ignored(root), left_out, but.resolve() if but else None))
    sizes = {path: (root / path).stat().st_size for path in found}
    total = sum(sizes.values())
    if total > bytes_max or len(found) > files_max:
        raise TooLarge(_too_large(sizes, total, bytes_max, files_max))
    files = [
        Packed(path, (root / path).read_bytes(), bool((root / path).stat().st_mode & stat.S_IXUSR)) for path in found
    ]
    return Folder(tuple(files), tuple(sorted(left_out)))


def _ignored(root: Path) -> pathspec.GitIgnoreSpec:
    try:
        lines = (root / IGNORE).read_text().splitlines()
    except FileNotFoundError:
        lines = []
    return pathspec.GitIgnoreSpec.from_lines([*ALWAYS, *lines])


def _found(root: Path, ignored: pathspec.GitIgnoreSpec, left_out: list[str], but: Path | None) -> Iterator[str]:
    count = 0
    for parent, folders, names in os.walk(root):
        here = Path(parent)
        for name in list(folders):
            path = (here / name).relative_to(root).as_posix()
            if ignored.match_file(f"{path}/"):
                folders.remove(name)
            elif (here / name).is_symlink():  # a walk does not follow it: what it shows would come twice
                folders.remove(name)
                left_out.append(path)
        for name in names:
            path = (here / name).relative_to(root).as_posix()
            if ignored.match_file(path) or (here / name) == but:
                continue
            count += 1
            if count > FILES_MAX:
                raise TooLarge(_too_many())
            if _is_inner_file(here / name, root):
                yield path
            else:
                left_out.append(path)


def _is_inner_file(path: Path, root: Path) -> bool:
    try:
        real = path.resolve(strict=True)
    except OSError:
        return False
    return real.is_relative_to(root) and real.is_file()


def _too_large(sizes: dict[str, int], total: int, bytes_max: int, files_max: int) -> Text:
    largest = sorted(sizes, key=lambda path: (-sizes[path], path))[:NAMED_MAX]
    named = ", ".join(f"{path} ({sizes[path]})" for path in largest)
    return Text(
        f"{len(sizes)} files of {total} bytes, at most {files_max} files of {bytes_max} bytes go with a job; largest: "
        f"{named}; leave out by {IGNORE} what the job does not need; "
        "bring large parts by `suan data put` and name them under `inputs`",
        f"{len(sizes)} 个文件共 {total} 字节，随作业最多 {files_max} 个文件、{bytes_max} 字节；最大的是：{named}；"
        f"请用 {IGNORE} 排除作业不需要的文件，"
        "大的部分用 suan data put 带入并写入 inputs",
    )


def _too_many() -> Text:
    return Text(
        f"more than {FILES_MAX} files; leave out by {IGNORE} what the job does not need",
        f"超过 {FILES_MAX} 个文件；请用 {IGNORE} 排除作业不需要的文件",
    )
