"""Files that are their owner's alone, whatever the umask of whoever started the process.

Ledgers, archives, traces, journals, replicas, logs and keys tell who computes what, and open doors: none of them is for
other users of the machine.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

UMASK = 0o077
FOLDER_MODE = 0o700
FILE_MODE = 0o600
NOT_KEPT = 0o7077
"""Every right of group and others, and the bits that lend the owner's rights to whoever runs a file."""


def keep_private() -> None:
    """Whatever this process and those it starts make from now on is their owner's alone. First thing in every main."""
    os.umask(UMASK)


def private_folder(folder: Path) -> None:
    """Make `folder`, and what is missing above it, and shut it to others also where it was there. Raises OSError.

    One that is for everybody, as /tmp is, stays so.
    """
    for missing in [above for above in reversed(folder.parents) if not above.exists()]:
        missing.mkdir(mode=FOLDER_MODE, exist_ok=True)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & NOT_KEPT and not mode & stat.S_ISVTX:
        folder.chmod(FOLDER_MODE)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner reads, from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def replace_private(path: Path, content: bytes) -> None:
    """Put a file that only its owner reads in the place of one that may be read meanwhile: whole, or not at all."""
    fresh = path.with_name(f"{path.name}.new")
    write_private(fresh, content)
    with fresh.open("rb") as written:
        os.fsync(written.fileno())
    fresh.replace(path)


def tighten(folder: Path, *, but: Collection[str] = ()) -> int:
    """Take from all that lies in `folder` what others may do with it; what has a name in `but` is left as it is.

    For what an older version wrote, or a person copied. No link is followed, and what is another's stays as it is.
    Returns how many files and folders of ours could not be shut, as on a disk that is read-only.
    """
    if not folder.is_dir():
        return 0
    open_still = _shut(str(folder), None)
    for _, folders, files, fd in os.fwalk(folder, follow_symlinks=False):
        folders[:] = [name for name in folders if name not in but]
        open_still += sum(_shut(name, fd) for name in (*folders, *files))
    return open_still


def _shut(name: str, fd: int | None) -> int:
    try:
        facts = os.stat(name, dir_fd=fd, follow_symlinks=False)
        ours = facts.st_uid == os.geteuid() and not (fd is None and facts.st_mode & stat.S_ISVTX)
        if ours and facts.st_mode & NOT_KEPT and not stat.S_ISLNK(facts.st_mode):
            os.chmod(name, stat.S_IMODE(facts.st_mode) & ~NOT_KEPT, dir_fd=fd)
    except FileNotFoundError:
        return 0  # it has gone meanwhile
    except OSError:
        return 1
    return 0
