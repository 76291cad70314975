"""The site's replicas: each dataset once, by its digest, read-only, whole or not there.

On disk: `replicas/<digest>/{manifest.pb,files/...}`; what is on its way lies in `incoming/` until it is verified.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import uuid
from contextlib import closing
from pathlib import Path, PurePosixPath

import structlog

from suanmesh.transport.v1 import dataset_pb2
from suanmesh_agent.trees import remove_tree
from suanmesh_content import FolderError, Manifest, RegularFile, manifest_from, manifest_to, read_folder, regular_files

log = structlog.get_logger()

_FILE_MODE = 0o444
_PROGRAM_MODE = 0o555
_FOLDER_MODE = 0o555
_COPY_BYTES = 1024 * 1024
_FREE_SHARE = 2
"""Of the disk that is free, a copied file may take one part in so many: the journal lies on the same disk."""


class Replicas:
    """The folder of replicas."""

    def __init__(self, folder: Path) -> None:
        self._complete = folder / "replicas"
        self._incoming = folder / "incoming"
        self._complete.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._added = asyncio.Event()

    def has(self, digest: str) -> bool:
        """Whether the dataset with that digest is here, whole."""
        return (self._complete / digest / "manifest.pb").exists()

    def files(self, digest: str) -> Path:
        """Folder its files lie in."""
        return self._complete / digest / "files"

    def manifest(self, digest: str) -> Manifest:
        """What it holds."""
        message = dataset_pb2.Manifest.FromString((self._complete / digest / "manifest.pb").read_bytes())
        return manifest_from(message)

    def incoming(self, name: str) -> Path:
        """Folder the files of a transfer come in at, made by who brings them; the same one after a restart."""
        return self._incoming / name / "files"

    def discard(self, name: str) -> None:
        """Give up what came in for a transfer."""
        _drop(self._incoming / name)

    def adopt(self, name: str, manifest: Manifest) -> None:
        """Make what came in for a transfer a replica. The caller has recomputed the digest from disk."""
        home = self._incoming / name
        if self.has(manifest.digest):
            _drop(home)
            return
        for file in manifest.files:
            path = home / "files" / file.path
            path.chmod(_PROGRAM_MODE if file.executable else _FILE_MODE)
            _to_disk(path)
        (home / "manifest.pb").write_bytes(manifest_to(manifest).SerializeToString(deterministic=True))
        _to_disk(home / "manifest.pb")
        home.rename(self._complete / manifest.digest)
        _shut(self._complete / manifest.digest, manifest)
        _to_disk(self._complete)

    def take_in(self, folders: dict[str, Path], *, link: bool = False) -> Manifest:
        """Copy folders, each below its prefix, and make them one replica; with `link` without copying the bytes.

        Raises FolderError and ManifestError.
        """
        name = f"import-{uuid.uuid4().hex}"
        target = self.incoming(name)
        target.mkdir(parents=True)
        try:
            for prefix, folder in folders.items():
                _bring(folder, target / prefix, link=link)
            manifest = read_folder(target)
            self.adopt(name, manifest)
        finally:
            self.discard(name)
        return manifest

    def sweep(self, before_unix_s: float) -> None:
        """Remove what is left of imports that were begun before that moment and never ended."""
        for folder in self._incoming.glob("import-*"):
            if folder.stat().st_mtime < before_unix_s:
                _drop(folder)

    def announce(self) -> None:
        """Wake those who wait for a replica."""
        self._added.set()
        self._added = asyncio.Event()

    async def wait_for_news(self, bound_s: float) -> None:
        """Wait until a replica was added, or for `bound_s`: another process may add one, too."""
        try:
            async with asyncio.timeout(bound_s):
                await self._added.wait()
        except TimeoutError:
            return


def _bring(folder: Path, target: Path, *, link: bool) -> None:
    """Lay the files of `folder` out under `target`. Raises FolderError."""
    target.mkdir(parents=True, exist_ok=True)
    disk, claimed_bytes = os.statvfs(target), 0
    with closing(regular_files(folder)) as files:
        for file in files:
            claimed_bytes += file.facts.st_size
            if claimed_bytes > disk.f_blocks * disk.f_frsize:  # holes cost a program nothing, and a reader hours
                raise FolderError(f"its files claim {claimed_bytes} bytes, more than the site's whole disk has")
            place = target / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            if not (link and _linked(file, place)):
                _copied(file, place)


def _linked(file: RegularFile, place: Path) -> bool:
    """Whether the file's bytes could be taken as they lie."""
    if file.facts.st_nlink > 1:  # under its other name, wherever that is, it could be changed
        return False
    try:
        os.link(file.name, place, src_dir_fd=file.folder_fd, follow_symlinks=False)
    except OSError:
        return False
    return True


def _copied(file: RegularFile, place: Path) -> None:
    disk = os.statvfs(place.parent)
    if file.facts.st_size > disk.f_bavail * disk.f_frsize // _FREE_SHARE:
        raise FolderError(f"{file.path!r} has {file.facts.st_size} bytes, more than the site's disk has room to copy")
    with os.fdopen(file.open(), "rb") as source, place.open("xb") as target:
        shutil.copyfileobj(source, target, _COPY_BYTES)
        os.fchmod(target.fileno(), _PROGRAM_MODE if file.facts.st_mode & stat.S_IXUSR else _FILE_MODE)


def _shut(replica: Path, manifest: Manifest) -> None:
    """Let nothing in it be replaced or removed: a task without a sandbox reaches it over a link."""
    (replica / "manifest.pb").chmod(_FILE_MODE)
    inner = {parent for file in manifest.files for parent in PurePosixPath(file.path).parents}
    for folder in (*(replica / "files" / each for each in inner), replica):
        folder.chmod(_FOLDER_MODE)


def _drop(folder: Path) -> None:
    """Remove what nobody needs; what cannot be removed takes room, and stops nothing."""
    try:
        remove_tree(folder)
    except OSError as fault:
        log.warning("folder stays", message=f"{folder}: {fault.strerror}")


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
