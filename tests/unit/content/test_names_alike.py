"""Names of a dataset that a file system may take for one another."""

from __future__ import annotations

import pytest

from suanmesh_content import ContentFile, Manifest, a_folder, a_link, colliding, folded

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def a_file(path: str) -> ContentFile:
    return ContentFile(path, 0, bytes(32))


@pytest.mark.parametrize(
    ("entries", "groups"),
    [
        ([a_file("A"), a_file("a"), a_file("b")], [["A", "a"]]),
        ([a_file(COMPOSED), a_file(DECOMPOSED)], [[DECOMPOSED, COMPOSED]]),
        ([a_file("Dir/x"), a_file("dir/x")], [["Dir/x", "dir/x"]]),
        ([a_file("Dir/x"), a_file("dir/y")], []),
        ([a_folder("Dir"), a_file("dir/y"), a_folder("DIR")], []),
        ([a_link("Data", "x"), a_file("data/y")], [["Data", "data"]]),
        ([a_file("STRASSE"), a_file("stra\u00dfe")], [["STRASSE", "stra\u00dfe"]]),
        ([a_file("\udcff"), a_file("\udcfe")], []),
    ],
    ids=["case", "composition", "folder", "folders that become one", "empty folders", "link", "letters", "no text"],
)
def test_what_would_overwrite_each_other_is_found(entries: list[ContentFile], groups: list[list[str]]) -> None:
    """On a laptop whose disk knows no case, one of two files would silently be the other's content."""
    assert colliding(Manifest.of(entries)) == groups


def test_names_that_differ_otherwise_are_not_alike() -> None:
    """A user would be refused what his disk can hold."""
    assert folded("a1") != folded("a2")
    assert folded(COMPOSED) != folded("cafe")
