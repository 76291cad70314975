"""A task's scratch as a file system of its own in one sparse file: it holds so many bytes and files, and no more.

The shim mounts it where only the task sees it, so that mount and loop device go with the task, however that ends. The
agent reads it by a mount that hangs on a file handle, and goes with the agent. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
from pathlib import Path

from suanmesh_agent.engines.process import syscalls

BLOCK_BYTES = 4096
INODE_BYTES = 256
FILES_MIN, FILES_MAX = 4096, 1 << 22
BYTES_PER_FILE = 16_384
"""A task may make one file for so much scratch, and `FILES_MIN` in any case: what ext4 allots by itself."""
TEMPLATES_MAX = 64
"""File systems of different sizes that lie ready, some hundred KiB each."""
_SLACK_BYTES, _SPARE_FILES = 2 << 20, 64
"""What the file system holds beyond the bound, so that a task that goes beyond it is seen to."""
_GROUP_BYTES, _GROUP_META_BYTES = 128 << 20, 16 << 10
_RESERVED_SHARE = 40
"""ext4 keeps one part in fifty, at most 16 MiB, for its own use."""
_FORMAT = ("-q", "-F", "-t", "ext4", "-m", "0", "-b", str(BLOCK_BYTES), "-I", str(INODE_BYTES))
_FEATURES = ("-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard")
_OPTIONS = "noinit_itable,nobarrier,errors=remount-ro"
_FOLDERS = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")


def formatter() -> str:
    """The program that makes file systems; empty where there is none."""
    return next((path for folder in _FOLDERS if os.access(path := f"{folder}/mke2fs", os.X_OK)), "")


def files_of(scratch_bytes: int) -> int:
    """How many files a task may have with so much scratch."""
    return min(FILES_MAX, max(FILES_MIN, scratch_bytes // BYTES_PER_FILE))


def image_bytes(scratch_bytes: int) -> int:
    """Size of the file system that has room for `scratch_bytes` beside what it needs for itself."""
    meta = files_of(scratch_bytes) * INODE_BYTES + (scratch_bytes // _GROUP_BYTES + 1) * _GROUP_META_BYTES
    reserved = min(scratch_bytes // _RESERVED_SHARE, 16 << 20)
    return (scratch_bytes + meta + reserved + _SLACK_BYTES) // BLOCK_BYTES * BLOCK_BYTES


def make_image(program: str, templates: Path, path: Path, scratch_bytes: int) -> None:
    """Make it anew: a copy of the template of its size, which is made by `program` at first. Raises OSError."""
    size, files = image_bytes(scratch_bytes), files_of(scratch_bytes) + _SPARE_FILES
    options = [*_FORMAT, *_FEATURES, "-N", str(files)]
    template = templates / f"{size}-{zlib.crc32(' '.join(options).encode()):08x}.img"
    try:
        source = os.open(template, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        _make_template(program, options, template, size)
        source = os.open(template, os.O_RDONLY | os.O_CLOEXEC)
    target = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.truncate(target, size)
        _copy_content(source, target)
    finally:
        os.close(source)
        os.close(target)


def _make_template(program: str, options: list[str], template: Path, size_bytes: int) -> None:
    """Whole or not at all: others may make the same at the same time. The oldest goes where there are many."""
    template.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = template.with_suffix(f".{os.urandom(8).hex()}")  # each shim may be process 1 of a namespace of its own
    with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "r+b") as file:
        file.truncate(size_bytes)
    command = [program, *options, str(draft)]
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    pid = os.posix_spawn(program, command, {"PATH": ":".join(_FOLDERS)}, file_actions=null)
    if status := os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        draft.unlink()
        raise OSError(errno.EIO, f"{program} failed with status {status}", str(template))
    draft.replace(template)
    others = [path for path in template.parent.iterdir() if path != template]
    if len(others) >= TEMPLATES_MAX:
        with contextlib.suppress(FileNotFoundError):
            min(others, key=lambda path: path.stat().st_mtime).unlink()


def _copy_content(source: int, target: int) -> None:
    """Copy what is not a hole: of a new file system, some hundred KiB."""
    end = 0
    while True:
        try:
            begin = os.lseek(source, end, os.SEEK_DATA)
        except OSError as fault:
            if fault.errno == errno.ENXIO:  # nothing but a hole follows
                return
            raise
        end = os.lseek(source, begin, os.SEEK_HOLE)
        while begin < end:
            begin += _copied(source, target, begin, end - begin)


def _copied(source: int, target: int, begin: int, count: int) -> int:
    """Copy up to `count` bytes to the same place, within the kernel where it can; how many there were."""
    try:
        return os.copy_file_range(source, target, count, begin, begin)
    except OSError as fault:
        if fault.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    return os.pwrite(target, os.pread(source, min(count, 1 << 20), begin), begin)


def mount_image(path: Path, target: str) -> None:
    """Mount it for writing. Raises OSError."""
    with path.open("r+b") as file:
        device, handle = syscalls.attach_loop(file.fileno())
    try:
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOATIME
        syscalls.mount(device, target, "ext4", flags, _OPTIONS)
    finally:
        os.close(handle)


def open_image(path: Path) -> int:
    """A handle on its root, to read what a task left; closing it leaves nothing behind. Raises OSError."""
    with path.open("rb") as file:
        device, handle = syscalls.attach_loop(file.fileno(), read_only=True)
    try:
        return syscalls.detached_mount(device, "ext4")
    finally:
        os.close(handle)


def used(target: str) -> tuple[int, int]:
    """Bytes and files in use of the file system at `target`."""
    facts = os.statvfs(target)
    return (facts.f_blocks - facts.f_bfree) * facts.f_frsize, facts.f_files - facts.f_ffree
