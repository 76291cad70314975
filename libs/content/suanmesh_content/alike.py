"""Names that some file systems take for one another: by case, or by how their letters are composed."""

from __future__ import annotations

from unicodedata import normalize


def folded(name: str) -> str:
    """A name, or a path, as a file system has it that knows neither case nor composition: alike where that is equal."""
    return name.lower() if name.isascii() else normalize("NFD", normalize("NFD", name).casefold())
