"""Which wheels of a job pip may look at outside of any sandbox.

What is beside a package is asked for by its metadata, and pip takes an address there for as good as a version: it would
fetch from it, and run what it finds to learn its name. So a wheel of a job that asks for anything at an address is left
out, and of its folder nothing else is looked at: a page of links leads anywhere.

Run as a program, since a wheel may be made to take all memory of who opens it: `python -m suanmesh_agent.wheels FROM
TO` links those that are fit from one folder into another, and says which are not.
"""

from __future__ import annotations

import email
import os
import re
import resource
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath

MEMORY_BYTES_MAX = 1 << 30
METADATA_BYTES_MAX = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+!-]*\.whl")
_UNREADABLE = (OSError, ValueError, LookupError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What `zipfile` says of files that it makes nothing of."""


def fault_of(metadata: bytes) -> str:
    """Why a wheel with that metadata is not looked at; empty where it is."""
    if len(metadata) > METADATA_BYTES_MAX:
        return "its metadata is too large"
    asked = email.message_from_bytes(metadata).get_all("Requires-Dist", [])
    return "it asks for a package at an address" if any("@" in str(each) for each in asked) else ""


def fault_of_wheel(path: Path) -> str:
    """The same of a file; whichever of several pip would take for its metadata."""
    try:
        with zipfile.ZipFile(path) as wheel:
            found = [each for each in wheel.infolist() if _may_be_metadata(each.filename)]
            read = [wheel.open(each).read(METADATA_BYTES_MAX + 1) for each in found]
    except _UNREADABLE:
        return "it cannot be read"
    return next(filter(None, map(fault_of, read)), "" if any(read) else "it has no metadata")


def _may_be_metadata(name: str) -> bool:
    """Whether `importlib.metadata`, and with it pip, may take an entry for it: PKG-INFO where METADATA is empty, and
    where that is too what the folder itself has to say."""
    folder, _, rest = name.partition("/")
    return folder.lower().endswith(".dist-info") and str(PurePosixPath(rest)).upper() in ("METADATA", "PKG-INFO", ".")


def link_fit(wheels: Path, to: Path) -> list[str]:
    """Link the fit ones of a folder into another, which is made; a line for each that is left out."""
    to.mkdir()
    left_out = []
    for entry in sorted(os.scandir(wheels), key=lambda each: each.name):
        if not _NAME.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
            continue
        if fault := fault_of_wheel(Path(entry)):
            left_out.append(f"suan: {entry.name} is not looked at: {fault}")
        else:
            (to / entry.name).symlink_to(os.path.realpath(entry))
    return left_out


def main() -> int:
    """The program."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    wheels, to = map(Path, sys.argv[1:])
    for line in link_fit(wheels, to):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
