"""Removing what a stranger's program has left on disk, however deep, long or locked it is."""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW


def remove_tree(folder: Path) -> None:
    """Remove `folder` and all in it; one that is not there is removed already.

    Raises OSError where something of it stays; the rest is gone then, and calling again goes on from there. No link is
    followed. Every folder within is first moved to the top, so that neither the depth of the tree nor the length of its
    paths matters, and two directories are open at a time.
    """
    try:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            folder.unlink()
            return
        with _opened(folder, None) as top:
            _empty(top)
        folder.rmdir()
    except FileNotFoundError:
        return


def _empty(top: int) -> None:
    """Remove all in the open directory `top`. Raises the first OSError once all else is gone."""
    faults: list[OSError] = []
    ahead = _cleared(top, top, faults)
    while ahead:
        name = ahead.pop()
        try:
            with _opened(name, top) as below:
                ahead += _cleared(below, top, faults)
            os.rmdir(name, dir_fd=top)
        except OSError as fault:
            faults.append(fault)
    if faults:
        raise faults[0]


def _cleared(folder: int, top: int, faults: list[OSError]) -> list[str]:
    """Unlink what lies in `folder` and move its folders to `top`; their names there."""
    moved = []
    with os.scandir(folder) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in listed:
        try:
            if is_folder:
                moved.append(_moved(name, folder, top))
            else:
                os.unlink(name, dir_fd=folder)
        except OSError as fault:
            faults.append(fault)
    return moved


def _moved(name: str, folder: int, top: int) -> str:
    """The folder's name at the top; its rights are restored, because a folder without them cannot be moved."""
    if folder == top:
        return name
    with _opened(name, folder):
        fresh = uuid.uuid4().hex
        os.rename(name, fresh, src_dir_fd=folder, dst_dir_fd=top)
    return fresh


@contextmanager
def _opened(name: str | Path, within: int | None) -> Iterator[int]:
    """The open directory, its owner's rights restored first where a program took them away."""
    handle = os.open(name, os.O_PATH | _FOLDER, dir_fd=within)
    try:
        Path(f"/proc/self/fd/{handle}").chmod(stat.S_IRWXU)  # by the handle: the name may change meanwhile
        folder = os.open(".", os.O_RDONLY | _FOLDER, dir_fd=handle)
    finally:
        os.close(handle)
    try:
        yield folder
    finally:
        os.close(folder)
