"""The site's replicas: each dataset once, by its digest, read-only, whole or not there.

On disk: `replicas/<digest>/{manifest.pb,files/...}`; what is on its way lies in `incoming/` until it is verified.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import stat
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import structlog
from blake3 import blake3

from suanmesh_agent.durable import all_to_disk, to_disk
from suanmesh_agent.folder_files import files_of
from suanmesh_agent.ports import SourceFile
from suanmesh_agent.trees import remove_tree
from suanmesh_content import (
    ContentFile,
    FolderError,
    LeftOut,
    Manifest,
    Why,
    copying,
    finished,
    manifest_to,
    reading_folder,
)
from suanmesh_kernel.private import private_folder, write_private
from suanmesh_kernel.texts import Text
from suanmesh_store.soundness import StoreRefused

log = structlog.get_logger()

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NODE = "node_id"
"""File beside the replicas that says whose they are."""
MODES = 0o400, 0o500
"""Of a replica's files, and of those that may be run."""
_FOLDER_MODE = 0o500
SYNCED_ONE_BY_ONE_MAX = 16
"""More files than so many are written to disk by one call for the whole file system: one each takes milliseconds."""
_FREE_SHARE = 2
"""Of the disk that is free, a copied file may take one part in so many: the journal lies on the same disk."""

_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
"""What the system says where a folder that is not empty, or a file, has the name already."""
_PLACE_TRIES_MAX = 10


class Replicas:
    """The folder of replicas."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._complete = folder / "replicas"
        self._incoming = folder / "incoming"
        private_folder(self._complete)
        private_folder(self._incoming)
        self._added = asyncio.Event()
        self._uses: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._removing = threading.Lock()

    def belong(self, node_id: str) -> None:
        """Hold content of a node from now on. Raises StoreRefused (`STORE_OF_ANOTHER_NODE`) where it is another's."""
        file = self._complete / _NODE
        kept = file.read_text() if file.exists() else ""
        if kept not in ("", node_id):
            raise StoreRefused(
                "STORE_OF_ANOTHER_NODE",
                Text(
                    f"the content kept here is of node {kept}, and {node_id} answers: join with a folder of its own",
                    f"此处保存的内容属于节点 {kept}，而应答的是 {node_id}：请用另一个文件夹加入该节点",
                ),
            )
        if not kept:
            with suppress(OSError):  # a disk that is full: it is told again
                write_private(file, node_id.encode())

    def has(self, digest: str) -> bool:
        """Whether the dataset with that digest is here, whole."""
        return (self._complete / digest / "manifest.pb").exists()

    def digests(self) -> list[str]:
        """Of all that are here."""
        return [place.name for place in self._complete.iterdir() if _DIGEST.fullmatch(place.name)]

    def uses(self, digest: str) -> int:
        """How often somebody has come to need it since this process began."""
        return self._uses[digest]

    @contextmanager
    def held(self, digest: str) -> Iterator[None]:
        """Within, a replica with that digest is not removed, whether it is here yet or not."""
        with self._removing:
            self._held[digest] += 1
            self._uses[digest] += 1
        try:
            yield
        finally:
            with self._removing:
                self._held[digest] -= 1

    def remove(self, digest: str, uses: int) -> bool:
        """Remove a replica, unless it is held or has come to be needed since it had `uses`; whether it is gone."""
        place, aside = self._complete / digest, self._incoming / _import_name()
        with self._removing:
            if self._held[digest] or self._uses[digest] != uses or not place.exists():
                return False
            place.chmod(stat.S_IRWXU)
            place.rename(aside)
        to_disk(self._complete)
        _drop(aside)
        return True

    def files(self, digest: str) -> Path:
        """Folder its files lie in."""
        return self._complete / digest / "files"

    def manifest(self, digest: str) -> Manifest:
        """What it holds."""
        return Manifest.kept(self.canonical(digest), digest)

    def canonical(self, digest: str) -> bytes:
        """The canonical form of its manifest, as it lies here."""
        return (self._complete / digest / "manifest.pb").read_bytes()

    def incoming(self, name: str) -> Path:
        """Folder the files of a transfer come in at, made by who brings them; the same one after a restart."""
        return self._incoming / name / "files"

    def discard(self, name: str) -> None:
        """Give up what came in for a transfer."""
        _drop(self._incoming / name)

    def adopt(self, name: str, manifest: Manifest) -> None:
        """Make what came in for a transfer a replica. The caller has recomputed the digest from disk.

        The same content may come in any number of times at once, in this process and in others: the first to arrive
        stays, and every other finds what it wanted.
        """
        finished(self.adopting(name, manifest))

    def adopting(self, name: str, manifest: Manifest) -> Generator[int, None, None]:
        """`adopt` in steps, for work that takes turns."""
        home = self._incoming / name
        with self._removing:
            self._uses[manifest.digest] += 1
        if not self.has(manifest.digest):
            yield from _finishing(home, manifest)
            self._place(home, manifest.digest)
        _drop(home)

    def take_in(self, folders: dict[str, Path], *, link: bool = False) -> Manifest:
        """Copy folders, each below its prefix, and make them one replica; with `link` without copying what is ours.

        Raises FolderError and ManifestError.
        """
        return finished(self.taking_in({prefix: files_of(folder, ours=link) for prefix, folder in folders.items()}))

    def taking_in(
        self, sources: Mapping[str, Generator[SourceFile, None, None]], left_out: LeftOut | None = None
    ) -> Generator[int, None, Manifest]:
        """Make the files of each source, below its prefix, one replica, in steps; closing it early leaves nothing.

        With `left_out` a file that is larger than the site's disk, which holes make easy, is noted there.
        """
        name = _import_name()
        target = self.incoming(name)
        target.mkdir(parents=True)
        try:
            for prefix, files in sources.items():
                yield from _bringing(files, target / prefix, left_out)
            manifest = yield from reading_folder(target)
            yield from self.adopting(name, manifest)
        finally:
            self.discard(name)
        return manifest

    def keep(self, files: Mapping[str, bytes]) -> Manifest:
        """Make small files a replica, by their paths; nothing is written where the same content is here already.

        Raises ManifestError.
        """
        made = [ContentFile(path, len(content), blake3(content).digest()) for path, content in files.items()]
        manifest = Manifest.of(made)
        with self._removing:
            self._uses[manifest.digest] += 1
        if self.has(manifest.digest):
            return manifest
        name = _import_name()
        target = self.incoming(name)
        try:
            for path, content in files.items():
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                write_private(target / path, content)
            self.adopt(name, manifest)
        finally:
            self.discard(name)
        return manifest

    def _place(self, home: Path, digest: str) -> None:
        """Give a whole folder its name, in one step, unless the same content has it already."""
        place = self._complete / digest
        for _ in range(_PLACE_TRIES_MAX):
            try:
                home.rename(place)
            except OSError as fault:
                if fault.errno not in _TAKEN:
                    raise
                if self.has(digest):
                    return
                self._put_aside(place)
            else:
                place.chmod(_FOLDER_MODE)  # only now: a folder that may not be written to cannot be moved
                to_disk(self._complete)
                return
        raise FileExistsError(errno.EEXIST, "something else takes the replica's place, time and again", str(place))

    def _put_aside(self, place: Path) -> None:
        """What has a replica's name and is none, as a failing disk may leave it, makes room for a whole one."""
        aside = self._incoming / _import_name()
        with suppress(FileNotFoundError):
            place.chmod(stat.S_IRWXU)
            place.rename(aside)
        log.warning("damaged replica removed", message=str(place))
        _drop(aside)

    def sweep(self, before_unix_s: float, kept: Callable[[], Collection[str]] = tuple) -> None:
        """Remove what has come in only in part, and that nobody has gone on with since that moment.

        `kept` tells what something is coming into: that stays, whatever its age.
        """
        for folder in self._incoming.iterdir():
            with suppress(FileNotFoundError):  # its work has ended meanwhile
                if folder.name not in kept() and folder.stat().st_mtime < before_unix_s:
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


def disk_bytes(folder: Path) -> int:
    """How large the disk under `folder` is."""
    disk = os.statvfs(folder)
    return disk.f_blocks * disk.f_frsize


def fitting(
    source: Generator[SourceFile, None, None], most_bytes: int, left_out: LeftOut | None
) -> Generator[SourceFile, None, None]:
    """The files of `source` that claim at most `most_bytes` together; holes cost a program nothing, a reader hours.

    Those beyond are noted in `left_out`, or raise FolderError.
    """
    claimed = 0
    with closing(source) as files:
        for file in files:
            if claimed + file.size_bytes <= most_bytes:
                claimed += file.size_bytes
                yield file
            elif left_out is not None:
                left_out.add(file.path, Why.TOO_LARGE)
            else:
                claim = claimed + file.size_bytes
                raise FolderError(f"its files claim {claim} bytes, more than the site's whole disk has")


def _bringing(
    source: Generator[SourceFile, None, None], target: Path, left_out: LeftOut | None
) -> Generator[int, None, None]:
    """Lay the files of `source` out under `target`, in steps. Raises FolderError."""
    target.mkdir(parents=True, exist_ok=True)
    with closing(fitting(source, disk_bytes(target), left_out)) as files:
        for file in files:
            place = target / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            yield 0
            if file.link:
                place.symlink_to(file.link)
            elif file.folder:
                place.mkdir()
            elif not file.share(place):
                yield from _copying(file, place)


def _copying(file: SourceFile, place: Path) -> Generator[int, None, None]:
    disk = os.statvfs(place.parent)
    if file.disk_bytes > disk.f_bavail * disk.f_frsize // _FREE_SHARE:
        raise FolderError(f"{file.path!r} has {file.disk_bytes} bytes on disk, more than the site's has room to copy")
    source = file.open()
    try:
        with place.open("xb") as target:
            yield from copying(source, target.fileno(), os.fstat(source).st_size)
            os.fchmod(target.fileno(), MODES[file.executable])
    finally:
        os.close(source)


def _finishing(home: Path, manifest: Manifest) -> Generator[int, None, None]:
    """Write all of it to disk, and let nothing below its top be replaced or removed: tasks reach it. In steps."""
    files = home / "files"
    each = to_disk if len(manifest.files) <= SYNCED_ONE_BY_ONE_MAX else _nothing
    for file in manifest.files:
        if file.regular:
            path, mode = f"{files}/{file.path}", MODES[file.executable]
            if stat.S_IMODE(os.lstat(path).st_mode) != mode:
                os.chmod(path, mode)  # noqa: PTH101 - there may be a hundred thousand
            each(path)
        yield 0
    write_private(home / "manifest.pb", manifest_to(manifest).SerializeToString(deterministic=True))
    (home / "manifest.pb").chmod(MODES[False])
    each(home / "manifest.pb")
    for folder in folders_of(manifest):
        (files / folder).chmod(_FOLDER_MODE)
        each(files / folder)
        yield 0
    each(home)
    if each is _nothing:
        all_to_disk(home)


def folders_of(manifest: Manifest) -> set[str]:
    """Every folder of a dataset, its top as an empty text."""
    found = {file.path for file in manifest.files if file.folder} | {""}
    for file in manifest.files:
        above = file.path.rpartition("/")[0]
        while above not in found:
            found.add(above)
            above = above.rpartition("/")[0]
    return found


def _nothing(path: Path | str) -> None:
    """It is written with all the others."""


def _import_name() -> str:
    return f"import-{uuid.uuid4().hex}"


def _drop(folder: Path) -> None:
    """Remove what nobody needs; what cannot be removed takes room, and stops nothing."""
    try:
        remove_tree(folder)
    except OSError as fault:
        log.warning("folder stays", message=f"{folder}: {fault.strerror}")
