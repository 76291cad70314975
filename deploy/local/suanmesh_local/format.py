"""Which layout a node's folder has: one that another version laid out is refused, not misread."""

from __future__ import annotations

from pathlib import Path

from suanmesh_kernel.private import write_private

FORMAT = 3
"""Of files, tables and names in certificates; raised with every change that an older folder does not bear."""
FILE = "format"
_UNNUMBERED = "1"
"""What a folder without the file has that holds a node: the number came with the second layout."""


class OtherFormat(Exception):
    """The folder holds a node of another format; says on one line which, and what can be done."""


def claim_format(folder: Path) -> None:
    """Number a folder that is used for the first time; call it with the folder locked. Raises OtherFormat, OSError."""
    file = folder / FILE
    if not file.exists() and not (folder / "tls").exists():
        fresh = file.with_suffix(".new")
        write_private(fresh, f"{FORMAT}\n".encode())
        fresh.replace(file)
    found = file.read_text(errors="replace").strip() if file.exists() else _UNNUMBERED
    if found != str(FORMAT):
        shown = found if found.isdecimal() else repr(found[:20])
        raise OtherFormat(
            f"{folder} holds a node of format {shown}, and this version needs format {FORMAT}: "
            "start in a new folder, or remove this one"
        )
