"""What a dataset holds: manifests, their digests, and the chunks it moves in."""

from __future__ import annotations

from suanmesh_content.alike import colliding, folded
from suanmesh_content.blocks import BLOCK_BYTES, BLOCK_DIGEST_BYTES, block_digest, block_digests
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
from suanmesh_content.folder import (
    FolderEntry,
    FolderError,
    Skip,
    digest_of,
    finished,
    folder_entries,
    read_file,
    read_folder,
    reading_folder,
)
from suanmesh_content.left_out import LeftOut, Why, shown
from suanmesh_content.manifest import (
    ContentFile,
    Manifest,
    ManifestError,
    a_folder,
    a_link,
    manifest_from,
    manifest_to,
)
from suanmesh_content.packing import (
    PACK_BYTES,
    Part,
    PartError,
    Place,
    Run,
    Unpacking,
    carried,
    packs,
    runs_of,
    serialized,
)
from suanmesh_content.sparse import contents, copying, write_sparse

__all__ = [
    "BLOCK_BYTES",
    "BLOCK_DIGEST_BYTES",
    "CHUNK_BYTES",
    "PACK_BYTES",
    "Assembly",
    "Chunk",
    "ContentFile",
    "FolderEntry",
    "FolderError",
    "LeftOut",
    "Manifest",
    "ManifestError",
    "Part",
    "PartError",
    "PieceError",
    "Place",
    "Run",
    "Skip",
    "Unpacking",
    "Whole",
    "Why",
    "a_folder",
    "a_link",
    "block_digest",
    "block_digests",
    "byte_chunks",
    "carried",
    "chunk_digest",
    "colliding",
    "contents",
    "copying",
    "digest_of",
    "finished",
    "folded",
    "folder_entries",
    "manifest_from",
    "manifest_to",
    "packs",
    "plan_chunks",
    "read_file",
    "read_folder",
    "reading_folder",
    "runs_of",
    "serialized",
    "shown",
    "write_sparse",
]
