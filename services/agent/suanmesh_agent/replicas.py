"""The site's replicas: each dataset once, by its digest, read-only, whole or not there.

On disk: `replicas/<digest>/{manifest.pb,files/...}`; what is on its way lies in `incoming/` until it is verified.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from pathlib import Path

from suanmesh.transport.v1 import dataset_pb2
from suanmesh_content import FolderError, Manifest, manifest_from, manifest_to, read_folder

_FILE_MODE = 0o444
_PROGRAM_MODE = 0o555


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
        shutil.rmtree(self._incoming / name, ignore_errors=True)

    def adopt(self, name: str, manifest: Manifest) -> None:
        """Make what came in for a transfer a replica. The caller has recomputed the digest from disk."""
        home = self._incoming / name
        if self.has(manifest.digest):
            shutil.rmtree(home, ignore_errors=True)
            return
        for file in manifest.files:
            path = home / "files" / file.path
            path.chmod(_PROGRAM_MODE if file.executable else _FILE_MODE)
            _to_disk(path)
        (home / "manifest.pb").write_bytes(manifest_to(manifest).SerializeToString(deterministic=True))
        _to_disk(home / "manifest.pb")
        home.rename(self._complete / manifest.digest)
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
                read_folder_shape(folder)
                shutil.copytree(
                    folder, target / prefix, symlinks=True, dirs_exist_ok=True, copy_function=_link if link else _copy
                )
            manifest = read_folder(target)
            self.adopt(name, manifest)
        finally:
            self.discard(name)
        return manifest

    def sweep(self, before_unix_s: float) -> None:
        """Remove what is left of imports that were begun before that moment and never ended."""
        for folder in self._incoming.glob("import-*"):
            if folder.stat().st_mtime < before_unix_s:
                shutil.rmtree(folder, ignore_errors=True)

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


def read_folder_shape(folder: Path) -> None:
    """Raise FolderError where `folder` is none, or holds what is neither a folder nor a regular file."""
    if not folder.is_dir():
        raise FolderError(f"{folder} is not a folder")
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise FolderError(f"{path} is neither a folder nor a regular file")


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        _copy(source, target)


def _copy(source: str, target: str) -> None:
    shutil.copy(source, target, follow_symlinks=False)


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
