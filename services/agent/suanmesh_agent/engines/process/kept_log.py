"""Reading what a task wrote, also while its shim writes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from suanmesh_agent.engines.process.task_log import TIME, segment_bytes


@dataclass(frozen=True, slots=True)
class KeptLog:
    """`TaskLog`: what `Log` has kept in `folder`, also while it writes."""

    folder: Path
    bound_bytes: int

    def read(self, offset: int, bytes_max: int) -> tuple[int, bytes]:
        """Read from the segment that holds `offset`, or from the oldest there still is."""
        size = segment_bytes(self.bound_bytes)
        for number in sorted(int(path.stem) for path in self.folder.glob("*.log")):
            begin = max(offset, number * size)
            if begin < (number + 1) * size:
                with contextlib.suppress(FileNotFoundError), (self.folder / f"{number}.log").open("rb") as file:
                    file.seek(begin - number * size)
                    return begin, file.read(bytes_max)
        return offset, b""

    def times(self) -> list[tuple[int, int]]:
        """As `TaskLog`; a segment without times beside it was written within one."""
        found: list[tuple[int, int]] = []
        for number in sorted(int(path.stem) for path in self.folder.glob("*.log")):
            with contextlib.suppress(FileNotFoundError):
                try:
                    content = (self.folder / f"{number}.times").read_bytes()
                except FileNotFoundError:
                    changed_ns = (self.folder / f"{number}.log").stat().st_mtime_ns
                    found.append((number * segment_bytes(self.bound_bytes), changed_ns // 1_000_000))
                else:
                    whole = len(content) - len(content) % TIME.size
                    found += [(offset, when) for offset, when in TIME.iter_unpack(content[:whole])]
        return found

    def add(self, lines: Sequence[str]) -> None:
        """Add lines once its shim has ended, unless they are its end already."""
        content = "".join(f"{line}\n" for line in lines).encode(errors="replace")
        size = segment_bytes(self.bound_bytes)
        number = max((int(path.stem) for path in self.folder.glob("*.log")), default=0)
        with (self.folder / f"{number}.log").open("ab+") as file:
            held = file.tell()
            file.seek(max(0, held - len(content)))
            end = file.read()
            if end == content:
                return
            added = content if end[-1:] in (b"", b"\n") else b"\n" + content
            file.write(added[: size - held])
        if rest := added[size - held :]:
            (self.folder / f"{number + 1}.log").write_bytes(rest)
