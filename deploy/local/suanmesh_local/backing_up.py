"""`suan node backup`: all that a node cannot do without, saved while it runs, and named once it is whole."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from suanmesh_etcd3 import Client, Unavailable
from suanmesh_etcd3 import connect as connect_etcd
from suanmesh_kernel.private import private_folder, tighten
from suanmesh_local import backups
from suanmesh_local.facts import FILE as FACTS
from suanmesh_local.facts import LOOPBACK, NodeFacts, read_facts
from suanmesh_local.format import FILE as FORMAT_FILE
from suanmesh_local.format import PORTS, TLS, claim_format
from suanmesh_local.identities import ETCD_ROOT_DIR, Identities
from suanmesh_local.launcher import FAULTS, said_of, tell
from suanmesh_local.node import FACTS as TRIED_OUT
from suanmesh_local.node_marks import FILE as NODE_ID
from suanmesh_local.node_marks import kept_id
from suanmesh_local.ports import noted_ports
from suanmesh_local.sealed_backups import new_identity, require_recipients, seal
from suanmesh_local.store_copies import CopyFailed, copy, places, settings_in
from suanmesh_local.unit_files import ENVIRONMENT

TRIES = 3
"""Members that may end while they send their copy, one after the other."""
SUFFIX = ".partial"
STAGED = "backup-in-the-clear"
"""In a node's folder, while it is encrypted."""
WARNING = (
    "it holds the authority's key and every secret of the node, unencrypted: whoever has it can be anybody; keep it as "
    "you would the node itself"
)
_LEFT_OUT = ("*.sqlite", "*.sqlite-*", "*.damaged")


class Exists(Exception):
    """Something has the name of the backup already."""


def main(folder: Path, target: Path, recipients: Sequence[str] = ()) -> int:
    """Save the node in `folder`, which may run, as the new folder `target`; with `recipients` as a file for them alone.

    Answers the exit status.
    """
    try:
        require_recipients(recipients)
        manifest = asyncio.run(save_sealed(folder, target, recipients) if recipients else save(folder, target))
    except (*FAULTS, CopyFailed, Exists, backups.NoBackup) as fault:
        print(f"suan node backup: {said_of(fault)}", file=sys.stderr)
        return 1
    size = sum(piece.size_bytes for piece in manifest.pieces.values())
    tell(
        "backup", f"{target}: {manifest.node} as of {manifest.create_time}, {len(manifest.pieces)} files, {size} bytes"
    )
    tell("keys", f"only the holder of a key of {', '.join(recipients)} opens it" if recipients else WARNING)
    return 0


def new_key(file: Path) -> int:
    """Make a key that opens backups. Answers the exit status."""
    try:
        recipient = new_identity(file)
    except OSError as fault:
        print(f"suan node backup-key: {said_of(fault)}", file=sys.stderr)
        return 1
    tell("key", f"{file}: keep it away from the node and from its backups; without it they cannot be opened")
    tell("recipient", recipient)
    return 0


async def save_sealed(folder: Path, target: Path, recipients: Sequence[str]) -> backups.Manifest:
    """Save a node as one encrypted file; in the clear it lies in the node's own folder, until it is written.

    Raises as `save`.
    """
    clear, partial = folder / STAGED, target.with_name(target.name + SUFFIX)
    await asyncio.to_thread(_begin_sealed, clear, target, partial)
    try:
        manifest = await save(folder, clear)
        await asyncio.to_thread(_finish_sealed, clear, target, partial, recipients)
    finally:
        await asyncio.to_thread(shutil.rmtree, clear, ignore_errors=True)
    return manifest


def _begin_sealed(clear: Path, target: Path, partial: Path) -> None:
    if target.exists():
        raise Exists(f"{target} is there already")
    private_folder(target.parent)
    shutil.rmtree(clear, ignore_errors=True)  # of one that was killed
    partial.unlink(missing_ok=True)


def _finish_sealed(clear: Path, target: Path, partial: Path, recipients: Sequence[str]) -> None:
    seal(clear, partial, recipients)
    partial.rename(target)
    _sync(target.parent)


async def save(folder: Path, target: Path) -> backups.Manifest:
    """Save a node; where it does not come to an end, nothing has the name `target`.

    etcd comes first and the ledger last. What happens in between is known to the later ones only, and that is the
    direction in which services bring themselves in line: a job whose placement etcd does not know is placed anew, and
    a hold whose placement etcd does not know is given back. Raises as `launcher.FAULTS` has it, CopyFailed, Exists.
    """
    partial = target.with_name(target.name + SUFFIX)
    _begin(folder, target, partial)
    try:
        manifest = await _saved(folder, partial)
        await asyncio.to_thread(_finish, partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def _begin(folder: Path, target: Path, partial: Path) -> None:
    if target.exists():
        raise Exists(f"{target} is there already")
    if not (folder / TLS).is_dir():
        raise ValueError(f"{folder} holds no node")
    claim_format(folder)
    shutil.rmtree(partial, ignore_errors=True)  # of one that was killed
    private_folder(partial)


def _finish(partial: Path, target: Path) -> None:
    """Give a backup its name once all of it is on the disk."""
    tighten(partial)
    for path in (partial, *partial.rglob("*")):
        _sync(path)
    partial.rename(target)
    _sync(target.parent)


async def _saved(folder: Path, partial: Path) -> backups.Manifest:
    node, begun = facts_in(folder).name, datetime.now(UTC)
    endpoints = _endpoints(folder)
    tls = Identities(folder / "tls", node).etcd_client(ETCD_ROOT_DIR)
    async with connect_etcd(endpoints, tls=tls) as client:
        await _copy_etcd(client, partial / backups.ETCD)
        status = await client.status(endpoints[0])
    follows = {}
    for place in places(folder, os.environ):
        copied = await asyncio.to_thread(copy, place, partial / backups.STORES / place.file)
        if copied is not None and copied.store:
            follows[copied.store] = copied.number
    await asyncio.to_thread(_copy_files, folder, partial / backups.FILES)
    manifest = backups.Manifest(
        version=metadata.version("suanmesh"),
        node=node,
        node_id=kept_id(folder),
        create_time=begun.isoformat(timespec="seconds"),
        etcd_revision=status.revision,
        etcd_version=status.version,
        etcd_members=len(endpoints),
        follows=follows,
        pieces={str(path.relative_to(partial)): backups.piece_of(path) for path in _files(partial)},
    )
    backups.written(partial, manifest)
    return manifest


def _endpoints(folder: Path) -> list[str]:
    """`host:port` of every member of the node's etcd: as its services are told, or as noted where it is tried out."""
    told = settings_in(folder / ENVIRONMENT / "registry.env").get("SUANMESH_ETCD_ENDPOINTS")
    if told:
        return told.split(",")
    ports = noted_ports(folder / PORTS)
    return [f"{LOOPBACK}:{port}" for name, port in sorted(ports.items()) if _is_member(name)]


def _is_member(name: str) -> bool:
    return name.startswith("etcd") and not name.endswith("-peer")


async def _copy_etcd(client: Client, target: Path) -> None:
    """Raises Unavailable where every try ended half way."""
    for left in reversed(range(TRIES)):
        try:
            with target.open("wb") as opened:
                async for piece in client.copied():
                    opened.write(piece)
        except Unavailable:
            if not left:
                raise
        else:
            return


def _copy_files(folder: Path, target: Path) -> None:
    """Identities with the authority, what the node is called and reached at, and what services keep beside SQL."""
    private_folder(target)
    for name in (FACTS, NODE_ID, FORMAT_FILE, PORTS):
        if (folder / name).exists():
            shutil.copyfile(folder / name, target / name)
    shutil.copytree(folder / "tls", target / "tls")
    shutil.copytree(folder / "services", target / "services", ignore=shutil.ignore_patterns(*_LEFT_OUT))
    if (folder / "env").is_dir():
        shutil.copytree(folder / "env", target / "env")


def facts_in(folder: Path) -> NodeFacts:
    """What is said of the node in a folder, be it one that is only tried out. Raises OSError, ValueError."""
    return read_facts(folder) if (folder / FACTS).exists() else TRIED_OUT


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
