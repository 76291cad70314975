"""Folders that others write to while they are put, and what else no plain folder is."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from suanmesh_client import Client
from suanmesh_content import PACK_BYTES, Why, read_folder
from suanmesh_fake import FakeMesh, Script
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_sdk.sending import Progress

FILES, SIZE_BYTES = 40, 300_000
LAST = f"{FILES - 1:03}"


@pytest.fixture
async def mesh() -> AsyncIterator[Client]:
    async with FakeMesh(lambda _: Script()) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Several packs of files, so that the last is sent a while after the first."""
    made = tmp_path / "folder"
    made.mkdir()
    for number in range(FILES):
        (made / f"{number:03}").write_bytes(os.urandom(SIZE_BYTES))
    return made


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


CHANGES: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: path.unlink(),
    "rewritten": lambda path: path.write_bytes(os.urandom(SIZE_BYTES)),
    "shorter": lambda path: os.truncate(path, 10),
    "longer": appended,
    "a pipe": lambda path: replaced(path, os.mkfifo),
    "a folder": lambda path: replaced(path, Path.mkdir),
    "a link": lambda path: replaced(path, lambda place: place.symlink_to("000")),
}


@pytest.mark.parametrize("how", CHANGES)
async def test_what_changes_once_while_it_is_sent_keeps_nothing_away(
    mesh: Client, folder: Path, tmp_path: Path, how: str
) -> None:
    """A log that is rotated while a study of hours is brought must not be the end of that, nor arrive torn."""
    changed = False

    def change(progress: Progress) -> None:
        nonlocal changed
        if progress.bytes_done and not changed:
            changed = True
            CHANGES[how](folder / LAST)

    brought = await mesh.data.put(folder, "changing", progress=change)
    assert changed
    if how in ("rewritten", "shorter"):  # by then all the others have come
        assert brought.sent_bytes <= brought.manifest.size_bytes + SIZE_BYTES
    if how == "shorter":
        assert brought.sent_bytes > brought.manifest.size_bytes  # what was sent in vain counts
    got = await mesh.data.get(brought.dataset, tmp_path / "got")
    assert read_folder(got) == brought.manifest
    assert [file.path for file in brought.manifest.files][: FILES - 1] == [f"{n:03}" for n in range(FILES - 1)]
    assert brought.left_out.named == ({LAST: Why.NO_FILE} if how == "a pipe" else {})


async def test_what_changes_all_the_time_is_left_out_and_named(mesh: Client, folder: Path) -> None:
    """One file of a running program must not keep a thousand of a finished one away."""

    def rewrite(_: Progress) -> None:
        (folder / LAST).write_bytes(os.urandom(8 * PACK_BYTES))

    (folder / LAST).write_bytes(os.urandom(8 * PACK_BYTES))
    brought = await mesh.data.put(folder, "restless", progress=rewrite)
    assert brought.left_out.named == {LAST: Why.CHANGES}
    assert len(brought.manifest.files) == FILES - 1


async def test_a_file_that_a_link_names_is_put(mesh: Client, folder: Path, tmp_path: Path) -> None:
    """`latest.pt` is a link in every folder of checkpoints, and what it leads to is meant."""
    (tmp_path / "latest").symlink_to(folder / "000")
    brought = await mesh.data.put(tmp_path / "latest", "latest")
    assert [file.path for file in brought.manifest.files] == ["000"]


async def test_what_is_no_folder_is_refused_with_the_reason(mesh: Client, tmp_path: Path) -> None:
    """A traceback tells nobody that a hundred thousand and one files are too many."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidArgument) as refused:
        await mesh.data.put(tmp_path / "pipe", "pipe")
    assert refused.value.reason == "SOURCE_INVALID"
    assert {"en", "zh"} <= refused.value.localized.keys()


async def test_what_a_fetch_has_left_is_no_data(mesh: Client, tmp_path: Path) -> None:
    """Whoever puts a folder again would publish halves of files, and is told that something is missing."""
    folder = tmp_path / "folder"
    (folder / ".suan-0123456789abcdef").mkdir(parents=True)
    (folder / ".suan-0123456789abcdef" / "7").write_text("half")
    (folder / ".suan-0123456789abcdef-8").write_text("half")
    (folder / "whole").write_text("whole")
    brought = await mesh.data.put(folder, "litter")
    assert [file.path for file in brought.manifest.files] == ["whole"]
    assert set(brought.left_out.named.values()) == {Why.UNFINISHED}
