"""What a folder may hold to be read as a dataset, whoever wrote it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from suanmesh_content import ContentFile, FolderError, LeftOut, Manifest, ManifestError, Why, folder, read_folder
from suanmesh_content.manifest import DEPTH_MAX, PATH_BYTES_MAX


def nested(top: Path, depth: int, name: str = "a") -> Path:
    """A file below so many folders."""
    below = top.joinpath(*[name] * depth)
    below.mkdir(parents=True)
    (below / "file").write_text("x")
    return below


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


STRANGE: dict[str, Callable[[Path], object]] = {
    "link": lambda top: (top / "strange").symlink_to("/etc/hostname"),
    "loop": lambda top: (top / "strange").symlink_to("strange"),
    "pipe": lambda top: os.mkfifo(top / "strange"),
    "socket": lambda top: a_socket(top / "strange"),
    "deep": lambda top: nested(top, DEPTH_MAX + 1),
    "long": lambda top: nested(top, PATH_BYTES_MAX // 250 + 1, "strange" * 35),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_no_dataset_can_hold_is_named_and_nothing_else_is(tmp_path: Path, kind: str) -> None:
    """A stranger's folder must neither stop the site that reads it nor tell the stranger where the site keeps it."""
    STRANGE[kind](tmp_path)
    before = open_files()
    with pytest.raises(FolderError) as caught:
        read_folder(tmp_path)
    assert ("a/a/a" if kind == "deep" else "strange") in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert open_files() == before


WHY = {
    "link": Why.LINK_LEADS_OUT,
    "loop": Why.LINK_LEADS_OUT,
    "pipe": Why.NO_FILE,
    "socket": Why.NO_FILE,
    "deep": Why.TOO_DEEP,
    "long": Why.PATH_TOO_LONG,
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_no_dataset_can_hold_keeps_nothing_else_away(tmp_path: Path, kind: str) -> None:
    """Whoever trained for a week must not lose the model for the pipe that lies beside it."""
    (tmp_path / "model").write_text("weights")
    STRANGE[kind](tmp_path)
    left_out = LeftOut()
    kept = read_folder(tmp_path, left_out)
    assert "model" in [file.path for file in kept.files]
    assert (left_out.count, set(left_out.named.values())) == (1, {WHY[kind]})
    assert len(left_out.lines()) == len(left_out.lines("zh")) == 1


def test_of_a_thousand_that_are_left_out_some_are_named_and_all_are_counted(tmp_path: Path) -> None:
    """A stranger's folder must not fill the log of whoever reads it."""
    for number in range(150):
        (tmp_path / str(number)).symlink_to("/etc/hostname")
    left_out = LeftOut()
    assert not read_folder(tmp_path, left_out).files
    assert left_out.count == 150
    assert left_out.lines()[-1] == "and 50 more"


def test_a_folder_as_deep_as_may_be_is_read(tmp_path: Path) -> None:
    """A bound that cuts off what it says it allows is found by the user with the most data."""
    nested(tmp_path, DEPTH_MAX)
    assert [file.path.count("/") for file in read_folder(tmp_path).files] == [DEPTH_MAX]


def test_a_manifest_is_no_deeper_than_a_folder_may_be() -> None:
    """A source could else have its target make folders that nobody can read or remove again."""
    with pytest.raises(ManifestError, match="folders deep"):
        Manifest.of([ContentFile("a/" * (DEPTH_MAX + 1) + "b", 1, bytes(32))])


def test_two_names_of_one_file_are_two_files(tmp_path: Path) -> None:
    """Programs link instead of copying; their results are data all the same."""
    (tmp_path / "one").write_text("same")
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    one, two = read_folder(tmp_path).files
    assert (one.path, two.path, one.digest) == ("one", "two", two.digest)


def test_a_name_that_is_no_text_can_be_told(tmp_path: Path) -> None:
    """A reason that cannot be sent would be the end of whoever wants to give it."""
    os.mkfifo(os.fsencode(tmp_path) + b"/\xff\xfe")
    with pytest.raises(FolderError) as caught:
        read_folder(tmp_path)
    assert "\\udcff\\udcfe" in str(caught.value)
    assert str(caught.value).encode()


def test_a_folder_of_too_many_entries_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Millions of empty folders cost a program a second, and would cost the site's agent its time for others."""
    monkeypatch.setattr(folder, "ENTRIES_MAX", 10)
    for number in range(11):
        (tmp_path / str(number)).mkdir()
    with pytest.raises(FolderError, match="more than 10 files and folders"):
        read_folder(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A user who took a folder's rights away can give them back, once it is named."""
    (tmp_path / "shut").mkdir(0o000)
    left_out = LeftOut()
    read_folder(tmp_path, left_out)
    assert left_out.named == {"shut": Why.UNREADABLE}
