"""Names that some file systems take for one another: by case, or by how their letters are composed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from unicodedata import normalize

from suanmesh_content.manifest import Manifest


def folded(name: str) -> str:
    """A name, or a path, as a file system has it that knows neither case nor composition: alike where that is equal."""
    return name.lower() if name.isascii() else normalize("NFD", normalize("NFD", name).casefold())


def colliding(manifest: Manifest) -> list[Sequence[str]]:
    """Paths of a dataset of which such a file system could hold but one, each group in the order of the manifest.

    Folders that are alike become one there, which harms none; a file or a link gives way to nothing else.
    """
    groups: dict[str, list[str]] = {}
    for file in manifest.files:
        if not file.folder:
            groups.setdefault(folded(file.path), []).append(file.path)
    for folder in _folders(manifest):
        if (taken := groups.get(folded(folder))) is not None:
            taken.append(folder)
    return [group for group in groups.values() if len(group) > 1]


def _folders(manifest: Manifest) -> Iterable[str]:
    found = {file.path: None for file in manifest.files if file.folder}
    for file in manifest.files:
        above = file.path.rpartition("/")[0]
        while above and above not in found:
            found[above] = None
            above = above.rpartition("/")[0]
    return found
