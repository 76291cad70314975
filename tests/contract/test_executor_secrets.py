"""Secrets of a task, in every kind of executor: where it finds them, and where nobody does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from executor_kinds import ProcessExecutor, a_task


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder that no disk keeps."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


async def test_a_task_finds_its_secrets_and_nothing_of_them_stays(
    executor: ProcessExecutor, tmp_path: Path, memory: Path
) -> None:
    """A token in a command line, a specification or an image of scratch is read by whoever sees the site's disk."""
    value = "tok-5fe1a7c0 '$(x)\\n\n\n"
    (memory / "TOKEN").write_text(value)
    (memory / "TOKEN").chmod(0o400)
    code = (
        "import os, sys\n"
        "folder = os.environ['SUANMESH_SECRETS']\n"
        "same = open(folder + '/TOKEN').read() == os.environ['TOKEN'] and os.listdir(folder) == ['TOKEN']\n"
        "print(len(os.environ['TOKEN']), same)\n"
        "try: open(folder + '/TOKEN', 'w'); print('written')\n"
        "except OSError: pass\n"
        "sys.stdout.flush(); sys.stdin.read()"
    )
    task = a_task(
        code, secrets=memory, secret_variables=(("TOKEN", "TOKEN"),), outputs=("out",), scratch_bytes=16 << 20
    )
    await executor.start(task)
    assert (await executor.over(task.key)).succeeded
    said = executor.read_log(task.key, 0, 1000)[1].decode()
    assert said.startswith(f"{len(value)} True\n")
    assert "written" not in said or not executor.walled
    kept = files_below(tmp_path)
    assert kept
    assert not [path for path in kept if b"tok-5fe1a7c0" in path.read_bytes()]
