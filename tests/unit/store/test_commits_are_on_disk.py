"""What is told to be kept is on the disk: tried in a process of its own, since those of tests do not wait for disks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOOKS = """
import sys
from contextlib import closing
from pathlib import Path
from suanmesh_store.databases import open_engines
from suanmesh_store.sqlite_files import open_hard

folder = Path(sys.argv[1])
for connection in open_hard(folder / "journal.db", "the journal", connections=2):
    with closing(connection):
        print(connection.execute("PRAGMA synchronous").fetchone()[0])
engines = open_engines(f"sqlite:///{folder / 'ledger.db'}", "the ledger", application="test")
for engine in (engines.writing, engines.reading):
    with engine.begin() as connection:
        print(connection.exec_driver_sql("PRAGMA synchronous").scalar())
engines.dispose()
"""
FULL = "2"


def test_no_commit_of_a_hard_store_is_told_before_it_is_on_the_disk(tmp_path: Path) -> None:
    """Money, jobs and what an agent has begun would go with the power, though somebody was told that they stand."""
    command = [sys.executable, "-c", LOOKS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [FULL] * 4
