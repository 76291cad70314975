"""Manifests: one line a file, link or empty folder, and the digest that is a dataset's identity.

The digest covers paths, sizes, contents, the executable bit and where links lead, and nothing else: neither times nor
owners nor how the bytes are cut into chunks, so that the same data has the same digest wherever it lies and however it
got there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from blake3 import blake3
from google.protobuf.message import DecodeError

from suanmesh.transport.v1 import dataset_pb2
from suanmesh_content.links import leading_out

DIGEST_BYTES = 32
FILES_MAX = 100_000
"""Most files of one dataset; more belong into an archive file."""
PATH_BYTES_MAX = 1024
DEPTH_MAX = 64
"""Most folders a file lies in, one in the other: every site must be able to make them, and to remove them."""


class ManifestError(ValueError):
    """A manifest that no dataset can have; the text says which file and why."""


@dataclass(frozen=True, slots=True)
class ContentFile:
    """One file, link or empty folder."""

    path: str
    """Relative to the dataset's root, with `/`; bytes that are no text are in it as `os.fsdecode` has them."""
    size_bytes: int
    digest: bytes
    """32 bytes of BLAKE3; empty for a link or a folder."""
    executable: bool = False
    """Whether it may be run."""
    link: str = ""
    """Where a link leads, as `path` is written; empty for no link."""
    folder: bool = False
    """Whether it is a folder that nothing lies in."""

    @property
    def regular(self) -> bool:
        """Whether it is a file with bytes of its own."""
        return not self.link and not self.folder


def a_link(path: str, target: str) -> ContentFile:
    """The entry of a link."""
    return ContentFile(path, 0, b"", link=target)


def a_folder(path: str) -> ContentFile:
    """The entry of an empty folder."""
    return ContentFile(path, 0, b"", folder=True)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Files, links and empty folders of a dataset, sorted by the bytes of their paths. Build it with `Manifest.of`."""

    files: tuple[ContentFile, ...]
    _digest: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    """Once it was asked for."""

    @classmethod
    def of(cls, files: Iterable[ContentFile]) -> Manifest:
        """Sort and check. Raises ManifestError."""
        ordered = tuple(sorted(files, key=lambda file: _path_bytes(file.path)))
        if len(ordered) > FILES_MAX:
            raise ManifestError(f"{len(ordered)} files are more than {FILES_MAX}")
        for file in ordered:
            _check(file)
        _check_tree(ordered)
        _check_links(ordered)
        return cls(ordered)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def digest(self) -> str:
        """BLAKE3 of the canonical form, 64 hex digits: the dataset's identity."""
        if not self._digest:
            self._digest.append(blake3(self.canonical()).hexdigest())
        return self._digest[0]

    def canonical(self) -> bytes:
        """The bytes the digest is taken of: the wire message, fields in order, files by path, nothing unknown."""
        return manifest_to(self).SerializeToString(deterministic=True)

    @classmethod
    def kept(cls, content: bytes, digest: str) -> Manifest:
        """From a canonical form whose maker has checked it, on a disk of one's own; with another digest than it is to
        have it is checked as anybody's. Raises ManifestError and DecodeError."""
        message = dataset_pb2.Manifest.FromString(content)
        if blake3(content).hexdigest() != digest:
            return manifest_from(message)
        manifest = cls(tuple(_files_from(message)))
        manifest._digest.append(digest)
        return manifest

    @classmethod
    def sent(cls, content: bytes, digest: str) -> Manifest:
        """From a canonical form that somebody sent, who says that it has that digest. Raises ManifestError."""
        try:
            manifest = manifest_from(dataset_pb2.Manifest.FromString(content))
        except DecodeError as fault:
            raise ManifestError(str(fault)) from fault
        if blake3(content).hexdigest() != digest:
            raise ManifestError("it is another's")
        manifest._digest.append(digest)
        return manifest

    def index(self, path: str) -> int | None:
        """Place of the file at `path`, or None."""
        return next((i for i, file in enumerate(self.files) if file.path == path), None)


def manifest_to(manifest: Manifest) -> dataset_pb2.Manifest:
    """As a wire message."""
    return dataset_pb2.Manifest(
        files=[
            dataset_pb2.ManifestFile(
                path=os.fsencode(f.path),
                bytes=f.size_bytes,
                digest=f.digest,
                executable=f.executable,
                link=os.fsencode(f.link),
                folder=f.folder,
            )
            for f in manifest.files
        ]
    )


def manifest_from(message: dataset_pb2.Manifest) -> Manifest:
    """From a wire message somebody sent, whatever its order. Raises ManifestError."""
    return Manifest.of(_files_from(message))


def _files_from(message: dataset_pb2.Manifest) -> Iterator[ContentFile]:
    for f in message.files:
        yield ContentFile(os.fsdecode(f.path), f.bytes, f.digest, f.executable, os.fsdecode(f.link), f.folder)


def _path_bytes(path: str) -> bytes:
    try:
        return os.fsencode(path)
    except UnicodeEncodeError as fault:
        raise ManifestError(f"{path!r} is no name that a file can have") from fault


def _check(file: ContentFile) -> None:
    _check_path(file.path)
    if file.size_bytes < 0:
        raise ManifestError(f"{file.path!r} has a negative size")
    if file.regular and len(file.digest) != DIGEST_BYTES:
        raise ManifestError(f"{file.path!r} has a digest of {len(file.digest)} bytes instead of {DIGEST_BYTES}")
    if not file.regular and (file.size_bytes or file.digest or file.executable or (file.link and file.folder)):
        raise ManifestError(f"{file.path!r} is a link or a folder, and something else besides")
    if file.link and (len(_path_bytes(file.link)) > PATH_BYTES_MAX or "\0" in file.link):
        raise ManifestError(f"{file.path!r} leads to what is no path of 1 to {PATH_BYTES_MAX} bytes")


def _check_path(path: str) -> None:
    if not path or len(_path_bytes(path)) > PATH_BYTES_MAX or "\0" in path:
        raise ManifestError(f"{path[:80]!r} is not a path of 1 to {PATH_BYTES_MAX} bytes")
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise ManifestError(f"{path!r} has an empty, '.' or '..' part")
    if path.count("/") > DEPTH_MAX:
        raise ManifestError(f"{path[:80]!r} lies more than {DEPTH_MAX} folders deep")


def _check_tree(files: tuple[ContentFile, ...]) -> None:
    """No path twice, and none that lies under what is no folder, or a folder said to be empty."""
    paths: set[str] = set()
    for file in files:
        if file.path in paths:
            raise ManifestError(f"{file.path!r} is there twice")
        paths.add(file.path)
    sound: set[str] = set()
    for file in files:
        above = file.path.rpartition("/")[0]
        while above and above not in sound:
            if above in paths:
                raise ManifestError(f"{file.path!r} lies under a file, a link or an empty folder")
            sound.add(above)
            above = above.rpartition("/")[0]


def _check_links(files: tuple[ContentFile, ...]) -> None:
    """None leads out: whoever lays the dataset out, or reads it, is not to reach what lies beside it."""
    out = leading_out({file.path: file.link for file in files if file.link})
    if out:
        raise ManifestError(f"{min(out)!r} leads out of the dataset")
