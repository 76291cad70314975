"""What a node's folder has: a node of this version's layout, or nothing yet. Another layout is refused, not misread."""

from __future__ import annotations

from pathlib import Path

from suanmesh_kernel.private import write_private
from suanmesh_local.facts import FILE as FACTS
from suanmesh_local.lock import Taken

LOCK = "node.lock"
"""Held by the process whose node it is."""
PORTS = "ports.json"
TLS = "tls"

FORMAT = 3
"""Of files, tables and names in certificates; raised with every change that an older folder does not bear."""
FILE = "format"
_UNNUMBERED = "1"
"""What a folder without the file has that holds a node: the number came with the second layout."""
BEGUN = frozenset((FACTS, LOCK, FILE))
"""What may lie in a folder in which founding a node was broken off before it had its authority."""


class OtherFormat(Exception):
    """The folder holds a node of another format; says on one line which, and what can be done."""


def require_unused(folder: Path) -> None:
    """Raise Taken where the folder holds a node, or anything else."""
    if (folder / PORTS).exists() or (folder / TLS).exists():
        raise Taken(f"{folder} holds a node already; start it with `suan node run {folder}`")
    if folder.exists() and {each.name for each in folder.iterdir()} - BEGUN:
        raise Taken(f"{folder} is not empty: found a node in a folder of its own")


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
