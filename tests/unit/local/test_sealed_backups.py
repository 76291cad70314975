"""An encrypted backup: whoever takes it learns nothing from it, and what was done to it is told before it is used."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from suanmesh_local import backups, check, restoring
from suanmesh_local.backups import NoBackup
from suanmesh_local.sealed_backups import encrypt, new_identity, opened, require_recipients, seal

KEY = b"-----BEGIN PRIVATE KEY----- of the authority"
LEDGER = b"accounts/acme 100"
CHUNK = 64 * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A backup as it is saved: with the authority's key, a ledger, and a store larger than age's chunks."""
    made = tmp_path / "clear"
    (made / "files" / "tls" / "ca").mkdir(parents=True)
    (made / "files" / "tls" / "ca" / "key.pem").write_bytes(KEY)
    (made / "files" / "ledger").write_bytes(LEDGER)
    copied = os.urandom(3 * CHUNK)
    (made / backups.ETCD).write_bytes(copied + hashlib.sha256(copied).digest())
    pieces = {str(path.relative_to(made)): backups.piece_of(path) for path in sorted(made.rglob("*")) if path.is_file()}
    told = backups.Manifest("0.1", "pilot", "id", "2026-01-01T00:00:00+00:00", 7, "3.4.23", 1, {"l0": 3}, pieces)
    backups.written(made, told)
    return made


@pytest.fixture
def sealed(folder: Path, tmp_path: Path) -> Path:
    """The same for the holder of `own.key`."""
    recipient = new_identity(tmp_path / "own.key")
    seal(folder, tmp_path / "backup.age", [recipient])
    return tmp_path / "backup.age"


def test_it_comes_back_whole_and_says_nothing_to_anybody_else(sealed: Path, folder: Path, tmp_path: Path) -> None:
    """A stolen backup must show neither the authority's key nor the ledger, nor what the files are called."""
    content = sealed.read_bytes()
    assert not [secret for secret in (KEY, LEDGER, b"key.pem", b"manifest") if secret in content]
    assert sealed.stat().st_mode & 0o077 == 0
    with opened(sealed, tmp_path / "own.key", tmp_path / "near") as clear:
        assert backups.require_whole(clear) == backups.require_whole(folder)
        assert (clear / "files" / "tls" / "ca" / "key.pem").read_bytes() == KEY
        assert clear.parent.stat().st_mode & 0o077 == 0
    assert not list(tmp_path.glob("near*")), "nothing is left in the clear"


def test_age_itself_opens_it(sealed: Path, tmp_path: Path) -> None:
    """Who has lost the machine that had our program must not have lost the backup with it."""
    key = (tmp_path / "own.key").read_text().splitlines()[-1]
    assert b"manifest.json" in pyrage.decrypt(sealed.read_bytes(), [pyrage.x25519.Identity.from_str(key)])


def test_any_of_several_holders_opens_it(folder: Path, tmp_path: Path) -> None:
    """An operator keeps two keys at two places, since one that is lost cannot be replaced."""
    names = ("one.key", "other.key")
    seal(folder, tmp_path / "both.age", [new_identity(tmp_path / name) for name in names])
    for name in names:
        with opened(tmp_path / "both.age", tmp_path / name, tmp_path / "near") as clear:
            assert (clear / "files" / "ledger").read_bytes() == LEDGER


def cut(at: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:at]


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (cut(30), "BACKUP_TRUNCATED"),
        (cut(CHUNK), "BACKUP_TRUNCATED"),
        (cut(-1), "BACKUP_TRUNCATED"),
        (flipped(CHUNK), "BACKUP_ALTERED"),
        (flipped(2 * CHUNK), "BACKUP_ALTERED"),
    ],
)
def test_what_was_done_to_it_is_told_and_nothing_is_made(
    sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[bytes], bytes], reason: str
) -> None:
    """Half of a node, or one that somebody has changed, must not be restored."""
    sealed.write_bytes(change(sealed.read_bytes()))
    assert restoring.main(sealed, tmp_path / "node", "", tmp_path / "own.key") == 1
    assert f"suan node restore: {reason}: " in capsys.readouterr().err
    assert not list(tmp_path.glob("node*"))
    assert check.main(sealed, tmp_path / "own.key") == 1
    assert reason in capsys.readouterr().out


def test_each_byte_of_it_counts(sealed: Path, tmp_path: Path) -> None:
    """Wherever somebody changes it, it is refused."""
    content = sealed.read_bytes()
    for at in (*range(0, 300, 7), len(content) // 2, len(content) - 1):
        sealed.write_bytes(flipped(at)(content))
        with (
            pytest.raises(backups.NoBackup),
            opened(sealed, tmp_path / "own.key", tmp_path / "near"),
        ):
            raise AssertionError(at)


def test_another_key_and_none_are_told_apart(sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator with three key files must know that it is the wrong one, rather than fear for the backup."""
    new_identity(tmp_path / "others.key")
    (tmp_path / "empty.key").touch()
    for keys, reason in (("others.key", "KEY_WRONG"), ("empty.key", "KEY_MISSING"), (None, "KEY_MISSING")):
        assert restoring.main(sealed, tmp_path / "node", "", tmp_path / keys if keys else None) == 1
        assert f"BACKUP_{reason}" in capsys.readouterr().err


def test_a_key_is_not_written_over_and_a_recipient_is_looked_at_first(tmp_path: Path) -> None:
    """A key that is gone takes every backup with it; and who mistypes a recipient must not wait for the backup."""
    new_identity(tmp_path / "own.key")
    kept = (tmp_path / "own.key").read_bytes()
    with pytest.raises(FileExistsError):
        new_identity(tmp_path / "own.key")
    assert (tmp_path / "own.key").read_bytes() == kept
    with pytest.raises(backups.NoBackup, match="no public key of age"):
        require_recipients(["age1mistyped"])


def test_a_folder_that_cannot_be_read_whole_becomes_no_backup(folder: Path, tmp_path: Path) -> None:
    """A file that is cut off without a word would be found on the day that it is needed."""
    recipient = new_identity(tmp_path / "own.key")
    folder.rename(tmp_path / "away")
    with pytest.raises(OSError, match="No such file"):
        seal(folder, tmp_path / "backup.age", [recipient])
    assert not (tmp_path / "backup.age").exists()


class FullDisk(io.BytesIO):
    """A file on one."""

    def write(self, piece: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_is_told_of_on_a_line(tmp_path: Path) -> None:
    """An operator must read that the disk is full, not where in a library that was found out."""
    recipient = pyrage.x25519.Recipient.from_str(new_identity(tmp_path / "own.key"))

    with pytest.raises(NoBackup, match="No space left on device"):
        encrypt(io.BytesIO(os.urandom(3 * CHUNK)), FullDisk(), [recipient])
