"""The files of a folder, as a replica takes them in."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from suanmesh_content import FolderEntry, LeftOut, folder_entries

_BLOCK_BYTES = 512
"""What the system counts in that a file has on disk."""


@dataclass(frozen=True, slots=True)
class FolderFile:
    """`SourceFile` that lies in a folder being walked."""

    entry: FolderEntry
    ours: bool
    """Whether the folder is the agent's own, so that its files need not be copied."""

    @property
    def path(self) -> str:
        """Relative to the folder."""
        return self.entry.path

    @property
    def link(self) -> str:
        """Where a link leads."""
        return self.entry.link

    @property
    def folder(self) -> bool:
        """Whether it is an empty folder."""
        return self.entry.folder

    @property
    def size_bytes(self) -> int:
        """A hole counts as its bytes."""
        return self.entry.facts.st_size

    @property
    def disk_bytes(self) -> int:
        """Without holes."""
        return self.entry.facts.st_blocks * _BLOCK_BYTES

    @property
    def executable(self) -> bool:
        """For its owner."""
        return bool(self.entry.facts.st_mode & stat.S_IXUSR)

    def open(self) -> int:
        """As it lies there now. Raises FolderError."""
        return self.entry.open()

    def share(self, place: Path) -> bool:
        """Only what is ours alone, under no other name, with nothing on it but its bytes."""
        facts = self.entry.facts
        if not self.ours or facts.st_nlink > 1 or facts.st_uid != os.geteuid():
            return False  # somebody else could change it, or its rights
        try:
            if os.listxattr(f"/proc/self/fd/{self.entry.folder_fd}/{self.entry.name}", follow_symlinks=False):
                return False  # capabilities, and lists of who may read it
            os.link(self.entry.name, place, src_dir_fd=self.entry.folder_fd, follow_symlinks=False)
        except OSError:
            return False
        return True


def files_of(
    folder: Path, left_out: LeftOut | None = None, *, ours: bool = False, known_as: Sequence[str] = ()
) -> Generator[FolderFile, None, None]:
    """Every file, link and empty folder under `folder`, as `folder_entries` gives them; close it to end it early."""
    with closing(folder_entries(folder, left_out, known_as=known_as)) as entries:
        for entry in entries:
            yield FolderFile(entry, ours)
