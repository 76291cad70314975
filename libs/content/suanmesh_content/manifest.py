"""Manifests: one line a file, and the digest that is a dataset's identity.

The digest covers paths, sizes, contents and the executable bit, and nothing else: neither times nor owners nor how the
bytes are cut into chunks, so that the same data has the same digest wherever it lies and however it got there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from blake3 import blake3

from suanmesh.transport.v1 import dataset_pb2

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
    """One file: `path` relative to the dataset's root with `/`, size, 32 bytes of BLAKE3, whether it may be run."""

    path: str
    size_bytes: int
    digest: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a dataset, sorted by the bytes of their paths. Build it with `Manifest.of`, which checks."""

    files: tuple[ContentFile, ...]

    @classmethod
    def of(cls, files: Iterable[ContentFile]) -> Manifest:
        """Sort and check. Raises ManifestError."""
        ordered = tuple(sorted(files, key=lambda file: _path_bytes(file.path)))
        if len(ordered) > FILES_MAX:
            raise ManifestError(f"{len(ordered)} files are more than {FILES_MAX}")
        for file in ordered:
            _check(file)
        _check_tree(ordered)
        return cls(ordered)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def digest(self) -> str:
        """BLAKE3 of the canonical form, 64 hex digits: the dataset's identity."""
        return blake3(self.canonical()).hexdigest()

    def canonical(self) -> bytes:
        """The bytes the digest is taken of: the wire message, fields in order, files by path, nothing unknown."""
        return manifest_to(self).SerializeToString(deterministic=True)

    def index(self, path: str) -> int | None:
        """Place of the file at `path`, or None."""
        return next((i for i, file in enumerate(self.files) if file.path == path), None)


def manifest_to(manifest: Manifest) -> dataset_pb2.Manifest:
    """As a wire message."""
    return dataset_pb2.Manifest(
        files=[
            dataset_pb2.ManifestFile(path=f.path, bytes=f.size_bytes, digest=f.digest, executable=f.executable)
            for f in manifest.files
        ]
    )


def manifest_from(message: dataset_pb2.Manifest) -> Manifest:
    """From a wire message somebody sent, whatever its order. Raises ManifestError."""
    return Manifest.of(ContentFile(f.path, f.bytes, f.digest, f.executable) for f in message.files)


def _path_bytes(path: str) -> bytes:
    try:
        return path.encode()
    except UnicodeEncodeError as fault:
        raise ManifestError(f"{path!r} is not text in UTF-8") from fault


def _check(file: ContentFile) -> None:
    if not file.path or len(_path_bytes(file.path)) > PATH_BYTES_MAX or "\0" in file.path:
        raise ManifestError(f"{file.path[:80]!r} is not a path of 1 to {PATH_BYTES_MAX} bytes")
    if any(part in ("", ".", "..") for part in file.path.split("/")):
        raise ManifestError(f"{file.path!r} has an empty, '.' or '..' part")
    if file.path.count("/") > DEPTH_MAX:
        raise ManifestError(f"{file.path[:80]!r} lies more than {DEPTH_MAX} folders deep")
    if file.size_bytes < 0:
        raise ManifestError(f"{file.path!r} has a negative size")
    if len(file.digest) != DIGEST_BYTES:
        raise ManifestError(f"{file.path!r} has a digest of {len(file.digest)} bytes instead of {DIGEST_BYTES}")


def _check_tree(files: tuple[ContentFile, ...]) -> None:
    """No path twice, and none that is both a file and a folder."""
    paths: set[str] = set()
    for file in files:
        if file.path in paths:
            raise ManifestError(f"{file.path!r} is there twice")
        paths.add(file.path)
    for file in files:
        parts = file.path.split("/")
        if any("/".join(parts[:depth]) in paths for depth in range(1, len(parts))):
            raise ManifestError(f"{file.path!r} lies under a file")
