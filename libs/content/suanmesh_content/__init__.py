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
    plan_chunks,
)
from suanmesh_content.folder import FolderEntry, FolderError, finished, folder_entries, read_folder, reading_folder
from suanmesh_content.left_out import LeftOut, Why
from suanmesh_content.manifest import (
    ContentFile,
    Manifest,
    ManifestError,
    a_folder,
    a_link,
    manifest_from,
    manifest_to,
)
from suanmesh_content.sparse import copying, write_sparse

__all__ = [
    "CHUNK_BYTES",
    "Assembly",
    "Chunk",
    "ContentFile",
    "FolderEntry",
    "FolderError",
    "LeftOut",
    "Manifest",
    "ManifestError",
    "PieceError",
    "Whole",
    "Why",
    "a_folder",
    "a_link",
    "byte_chunks",
    "chunk_digest",
    "copying",
    "finished",
    "folder_entries",
    "manifest_from",
    "manifest_to",
    "plan_chunks",
    "read_folder",
    "reading_folder",
    "write_sparse",
]
