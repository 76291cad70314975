"""Programs that are fetched are there whole for whoever needs them, however many need them at once."""

from __future__ import annotations

import fcntl
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from suanmesh_local.tools import unpack_debian

PACKAGE = "no-such-package"


@pytest.mark.skipif(not (shutil.which("apt-get") and shutil.which("dpkg-deb")), reason="no apt-get or dpkg-deb here")
def test_a_program_that_another_launcher_has_fetched_is_not_fetched_again(tmp_path: Path) -> None:
    """It would be taken away from under the other, whose etcd starts at that moment."""
    lock = tmp_path / f".{PACKAGE}.lock"
    with lock.open("w") as held, ThreadPoolExecutor() as threads:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = threads.submit(unpack_debian, PACKAGE, tmp_path)
        _until_waited_for(lock)
        (tmp_path / PACKAGE).mkdir()
        fcntl.flock(held, fcntl.LOCK_UN)
        assert waiting.result() == tmp_path / PACKAGE


def _until_waited_for(lock: Path) -> None:
    """Until somebody waits for the lock of a file, as the kernel tells."""
    number = f":{lock.stat().st_ino} "
    while not any("->" in line and number in line for line in Path("/proc/locks").read_text().splitlines()):
        pass
