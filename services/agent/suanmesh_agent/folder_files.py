"""The files of a folder, as a replica takes them in."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from suanmesh_content import RegularFile, regular_files

_BLOCK_BYTES = 512
"""What the system counts in that a file has on disk."""


@dataclass(frozen=True, slots=True)
class FolderFile:
    """`SourceFile` that lies in a folder being walked."""

    file: RegularFile
    ours: bool
    """Whether the folder is the agent's own, so that its files need not be copied."""

    @property
    def path(self) -> str:
        """Relative to the folder."""
        return self.file.path

    @property
    def size_bytes(self) -> int:
        """A hole counts as its bytes."""
        return self.file.facts.st_size

    @property
    def disk_bytes(self) -> int:
        """Without holes."""
        return self.file.facts.st_blocks * _BLOCK_BYTES

    @property
    def executable(self) -> bool:
        """For its owner."""
        return bool(self.file.facts.st_mode & stat.S_IXUSR)

    def open(self) -> int:
        """As it lies there now. Raises FolderError."""
        return self.file.open()

    def link(self, place: Path) -> bool:
        """Only what is ours alone, under no other name, with nothing on it but its bytes."""
        facts = self.file.facts
        if not self.ours or facts.st_nlink > 1 or facts.st_uid != os.geteuid():
            return False  # somebody else could change it, or its rights
        try:
            if os.listxattr(f"/proc/self/fd/{self.file.folder_fd}/{self.file.name}", follow_symlinks=False):
                return False  # capabilities, and lists of who may read it
            os.link(self.file.name, place, src_dir_fd=self.file.folder_fd, follow_symlinks=False)
        except OSError:
            return False
        return True


def files_of(folder: Path, *, ours: bool = False) -> Generator[FolderFile, None, None]:
    """Every regular file under `folder`. Raises FolderError as `regular_files` does; close it to end it early."""
    with closing(regular_files(folder)) as files:
        for file in files:
            yield FolderFile(file, ours)
