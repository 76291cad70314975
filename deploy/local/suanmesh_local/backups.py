"""What a backup of a node is: a folder with a manifest that names every file of it, its size and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from suanmesh_etcd3 import CopyCheck, CopyTorn
from suanmesh_kernel.private import write_private
from suanmesh_kernel.texts import Text
from suanmesh_local.findings import Finding
from suanmesh_store.soundness import damage_of

FORMAT = 1
"""Of backups; raised with every change that an older version could not bring back."""
MANIFEST = "manifest.json"
ETCD = "etcd.copy"
FILES = "files"
STORES = "stores"
READ_BYTES = 1 << 20


class NoBackup(Exception):
    """A folder is no backup that this version can bring back; says on one line why."""


class BackupRefused(NoBackup):
    """A backup cannot be opened; `reason` is its code, and the text says why."""

    def __init__(self, reason: str, text: Text) -> None:
        super().__init__(f"{reason}: {text.en}")
        self.reason = reason
        self.text = text


@dataclass(frozen=True, slots=True)
class Piece:
    """One file."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was saved, and of when."""

    version: str
    """Of the program that saved it."""
    node: str
    node_id: str
    create_time: str
    """When it was begun, as RFC 3339 has it; what came later is not in it."""
    etcd_revision: int
    etcd_version: str
    etcd_members: int
    follows: Mapping[str, int]
    """The number that each store had come to, as the node's next generation has to name it."""
    pieces: Mapping[str, Piece] = field(default_factory=dict)
    """By path in the backup."""
    format: int = FORMAT


def written(folder: Path, manifest: Manifest) -> None:
    """Put the manifest into a backup, which it makes whole. Raises OSError."""
    write_private(folder / MANIFEST, json.dumps(asdict(manifest), indent=2).encode())


def read(folder: Path) -> Manifest:
    """The manifest of a backup. Raises NoBackup, OSError."""
    if not (folder / MANIFEST).is_file():
        raise NoBackup(f"{folder} is no backup, or one that was not finished: it has no {MANIFEST}")
    try:
        told = json.loads((folder / MANIFEST).read_text())
        if told["format"] > FORMAT:
            raise NoBackup(f"{folder} has format {told['format']}, this version knows none beyond {FORMAT}")
        pieces = {path: Piece(**piece) for path, piece in told.pop("pieces").items()}
        return Manifest(**(told | {"pieces": pieces}))
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise NoBackup(f"{folder / MANIFEST} is not as it was written: {fault}") from fault


def piece_of(path: Path) -> Piece:
    """Size and hash of a file. Raises OSError."""
    size, digest = 0, hashlib.sha256()
    with path.open("rb") as opened:
        while block := opened.read(READ_BYTES):
            size += len(block)
            digest.update(block)
    return Piece(size, digest.hexdigest())


def findings_of(folder: Path) -> Iterator[Finding]:
    """Every piece of a backup, read whole: what is missing, what has changed, what was not of one moment."""
    try:
        manifest = read(folder)
    except (NoBackup, OSError) as fault:
        yield Finding("backup", "damaged", str(fault))
        return
    yield Finding("backup", "ok", f"of {manifest.node} ({manifest.node_id}), begun {manifest.create_time}")
    for name, piece in manifest.pieces.items():
        yield _piece(folder / name, name, piece)


def require_whole(folder: Path) -> Manifest:
    """The manifest of a backup of which every piece is as it was saved. Raises NoBackup, OSError."""
    manifest = read(folder)
    for found in findings_of(folder):
        if found.state != "ok":
            raise NoBackup(f"{folder}: {found.detail}")
    return manifest


def _piece(path: Path, name: str, piece: Piece) -> Finding:
    try:
        found = piece_of(path)
    except OSError as fault:
        return Finding("piece", "missing", f"{name}: {fault.strerror}")
    if found != piece:
        return Finding("piece", "damaged", f"{name}: it is not what was saved; take another backup")
    if damage := _damage(path, name):
        return Finding("piece", "damaged", f"{name}: {damage}")
    return Finding("piece", "ok", f"{name}: {piece.size_bytes} bytes")


def _damage(path: Path, name: str) -> str:
    if path.suffix == ".sqlite":
        return damage_of(path)
    if name != ETCD:
        return ""
    check = CopyCheck()
    with path.open("rb") as opened:
        while block := opened.read(READ_BYTES):
            check.take(block)
    try:
        check.require_whole()
    except CopyTorn as torn:
        return str(torn)
    return ""
