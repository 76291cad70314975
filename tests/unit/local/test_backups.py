"""A backup is whole or it is none: what is missing, changed or of a later version is told before anything is made."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from suanmesh_etcd3 import Unavailable
from suanmesh_local import backups, restoring
from suanmesh_local.backing_up import save
from suanmesh_local.identities import found_identities
from suanmesh_local.node import FACTS


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """One of three files, as it is saved."""
    folder = tmp_path / "backup"
    (folder / "files").mkdir(parents=True)
    copied = b"keys of etcd" * 100
    (folder / backups.ETCD).write_bytes(copied + hashlib.sha256(copied).digest())
    (folder / "files" / "node.toml").write_text("name = 'pilot'\n")
    pieces = {name: backups.piece_of(folder / name) for name in (backups.ETCD, "files/node.toml")}
    told = backups.Manifest("0.1", "pilot", "id", "2026-01-01T00:00:00+00:00", 7, "3.4.23", 1, {"l0": 3}, pieces)
    backups.written(folder, told)
    assert backups.require_whole(folder) == told
    return folder


def bad(folder: Path) -> list[str]:
    return [found.detail for found in backups.findings_of(folder) if found.state != "ok"]


@pytest.mark.parametrize("name", [backups.ETCD, "files/node.toml"])
def test_a_piece_that_has_changed_or_gone_is_named(backup: Path, name: str) -> None:
    """Who restores it would have a node that is not the one that was saved, and hear of it from a customer."""
    content = bytearray((backup / name).read_bytes())
    content[3] ^= 1
    (backup / name).write_bytes(content)
    assert bad(backup) == [f"{name}: it is not what was saved; take another backup"]
    (backup / name).unlink()
    assert bad(backup) == [f"{name}: No such file or directory"]
    with pytest.raises(backups.NoBackup):
        backups.require_whole(backup)


def test_a_backup_that_was_not_finished_is_none(backup: Path) -> None:
    """A killed backup has everything but the manifest at most; half of a node is not to be restored."""
    (backup / backups.MANIFEST).unlink()
    assert bad(backup) == [f"{backup} is no backup, or one that was not finished: it has no {backups.MANIFEST}"]


@pytest.mark.parametrize(
    ("change", "said"),
    [({"format": 99}, "knows none beyond 1"), ({"follows": None, "other": 1}, "not as it was written")],
)
def test_a_manifest_that_is_not_ours_is_refused(backup: Path, change: dict[str, object], said: str) -> None:
    """A later version may save what this one would leave out without a word."""
    told = json.loads((backup / backups.MANIFEST).read_text())
    (backup / backups.MANIFEST).write_text(json.dumps(told | change))
    with pytest.raises(backups.NoBackup, match=said):
        backups.read(backup)


def test_nothing_is_restored_into_a_folder_that_is_used(
    backup: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The node that is there would be mixed with the one that was saved."""
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis").touch()
    assert restoring.main(backup, tmp_path / "used", "") == 1
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["thesis"]


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """An operator who finds a folder of the right name believes that there is a backup."""
    node = tmp_path / "node"
    found_identities(node / "tls", FACTS)
    (node / "format").write_text("3\n")
    (node / "ports.json").write_text('{"etcd": 1}')
    with pytest.raises(Unavailable):
        asyncio.run(save(node, tmp_path / "backup"))
    assert [path.name for path in tmp_path.iterdir()] == ["node"]
