"""Backups in one file that only the holder of a key opens, in the format of age (age-encryption.org/v1)."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from suanmesh_kernel.private import FILE_MODE, private_folder, write_private
from suanmesh_kernel.texts import Text
from suanmesh_local.backups import BackupRefused, NoBackup

MAGIC = b"age-encryption.org/v1"
IDENTITY = "AGE-SECRET-KEY-"
_CUT_OFF = ("Incomplete header", "failed to fill whole buffer", "age file is truncated")
_NO_KEY = "No matching keys found"


def new_identity(file: Path) -> str:
    """Make a key in a file that is not there yet, as `age-keygen` does; its public key. Raises OSError."""
    from pyrage import x25519

    identity = x25519.Identity.generate()
    recipient = str(identity.to_public())
    if file.exists():
        raise FileExistsError(17, "is there already", str(file))
    write_private(file, f"# public key: {recipient}\n{identity}\n".encode())
    return recipient


def require_recipients(recipients: Sequence[str]) -> None:
    """Raise NoBackup unless each is a public key of age."""
    for each in recipients:
        _recipient(each)


def is_sealed(path: Path) -> bool:
    """Whether it is such a file. Raises OSError."""
    if not path.is_file():
        return False
    with path.open("rb") as opened:
        return opened.read(len(MAGIC)) == MAGIC


def seal(folder: Path, target: Path, recipients: Sequence[str]) -> None:
    """Pack a folder into the new file `target`, encrypted; nothing is there in the clear. Raises OSError, NoBackup."""
    public = [_recipient(each) for each in recipients]
    with _written(target) as sealed, _packed(folder) as packed:
        encrypt(packed, sealed, public)


def encrypt(clear: BinaryIO, sealed: BinaryIO, recipients: Sequence[object]) -> None:
    """Encrypt a stream. Raises NoBackup where that cannot be written, as on a disk that is full."""
    import pyrage

    try:
        pyrage.encrypt_io(clear, sealed, recipients)
    except pyrage.EncryptError as fault:
        raise NoBackup(f"the encrypted file cannot be written: {fault}") from fault


@contextmanager
def opened(backup: Path, identities: Path | None, near: Path) -> Iterator[Path]:
    """The folder of a backup, be it encrypted or not; what had to be decrypted lies beside `near` meanwhile.

    Raises BackupRefused, NoBackup, OSError.
    """
    if not backup.is_file():
        yield backup
        return
    if not is_sealed(backup):
        raise NoBackup(f"{backup} is no backup: neither a folder, nor encrypted")
    if identities is None:
        raise BackupRefused("BACKUP_KEY_MISSING", _MISSING)
    keys = _identities(identities)
    private_folder(near.parent)
    with TemporaryDirectory(prefix=f"{near.name}.", dir=near.parent) as scratch:
        packed, folder = Path(scratch) / "packed", Path(scratch) / "backup"
        _decrypt(backup, packed, keys)
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
        packed.unlink()
        yield folder


def _decrypt(backup: Path, target: Path, keys: Sequence[object]) -> None:
    """All of it, before anything of it is read: where it was cut off shows at its end alone."""
    import pyrage

    with backup.open("rb") as sealed, _written(target) as clear:
        try:
            pyrage.decrypt_io(sealed, clear, keys)
        except (pyrage.DecryptError, OSError) as fault:
            if isinstance(fault, OSError) and fault.errno:
                raise  # of the disk
            raise _refusal(str(fault), at_end=not sealed.read(1)) from fault


def _refusal(said: str, *, at_end: bool) -> BackupRefused:
    if said == _NO_KEY:
        return BackupRefused("BACKUP_KEY_WRONG", _WRONG)
    if at_end or said in _CUT_OFF:
        return BackupRefused("BACKUP_TRUNCATED", _TRUNCATED)
    return BackupRefused("BACKUP_ALTERED", _ALTERED)


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """A new file that only its owner reads, on the disk at the end; gone where it was not finished."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def _packed(folder: Path) -> Iterator[BinaryIO]:
    """A folder as a stream, which a thread writes for as long as it is read."""
    reading, writing = os.pipe()
    faults: list[OSError] = []

    def pack() -> None:
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as end:
            try:
                with tarfile.open(fileobj=end, mode="w|") as archive:
                    for each in sorted(folder.iterdir()):
                        archive.add(each, each.name)
            except BrokenPipeError:
                raise
            except OSError as fault:
                faults.append(fault)

    packing = threading.Thread(target=pack)
    packing.start()
    try:
        with os.fdopen(reading, "rb") as stream:
            yield stream
    finally:
        packing.join()
    if faults:
        raise faults[0]


def _identities(file: Path) -> list[object]:
    """The keys in a file. Raises BackupRefused, OSError."""
    from pyrage import IdentityError, x25519

    lines = [line.strip() for line in io.StringIO(file.read_text(errors="replace"))]
    try:
        found: list[object] = [x25519.Identity.from_str(line) for line in lines if line.startswith(IDENTITY)]
    except IdentityError as fault:
        raise NoBackup(f"{file} has a key that cannot be read: {fault}") from fault
    if not found:
        raise BackupRefused("BACKUP_KEY_MISSING", _MISSING)
    return found


def _recipient(text: str) -> object:
    from pyrage import RecipientError, x25519

    try:
        return x25519.Recipient.from_str(text)
    except RecipientError as fault:
        raise NoBackup(f"recipient {text[:80]!r} is no public key of age (age1...): {fault}") from fault


_MISSING = Text(
    "it is encrypted: say by --identity which file has the key (AGE-SECRET-KEY-...)",
    "备份已加密：请用 --identity 指明存有密钥（AGE-SECRET-KEY-...）的文件",
)
_WRONG = Text(
    "none of the keys opens it: it was encrypted to others, or its first lines were altered",
    "没有一个密钥能打开它：它是对其他公钥加密的，或其开头数行被改动",
)
_TRUNCATED = Text("it ends too early, or its last part was altered", "它过早结束，或其末尾部分被改动")
_ALTERED = Text("it was altered after it was written", "它在写成之后被改动")
