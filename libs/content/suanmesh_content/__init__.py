"""What a dataset holds: manifests, their digests, and the chunks it moves in."""

from __future__ import annotations

from suanmesh_content.chunks import (
    CHUNK_BYTES,
    Assembly,
    Chunk,
    PieceError,
    Whole,
    byte_chunks,
    chunk_digest,
    empty_files,
    plan_chunks,
)
from suanmesh_content.folder import FolderError, RegularFile, finished, read_folder, reading_folder, regular_files
from suanmesh_content.manifest import ContentFile, Manifest, ManifestError, manifest_from, manifest_to
from suanmesh_content.sparse import copying, write_sparse

__all__ = [
    "CHUNK_BYTES",
    "Assembly",
    "Chunk",
    "ContentFile",
    "FolderError",
    "Manifest",
    "ManifestError",
    "PieceError",
    "RegularFile",
    "Whole",
    "byte_chunks",
    "chunk_digest",
    "copying",
    "empty_files",
    "finished",
    "manifest_from",
    "manifest_to",
    "plan_chunks",
    "read_folder",
    "reading_folder",
    "regular_files",
    "write_sparse",
]
