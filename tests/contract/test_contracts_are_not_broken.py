"""What a release has promised is what later contracts are compared with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JOB = Path("protos/suanmesh/scheduler/v1/job.proto")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the contracts."""
    subprocess.run([sys.executable, "protos/generate.py", "google"], cwd=ROOT, check=True, timeout=60)
    for name in ("protos", "build/googleapis"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    (tmp_path / "protos" / "released.binpb").unlink(missing_ok=True)
    return tmp_path


def check(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "protos/check_breaking.py", *words]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False, timeout=60)


def test_a_change_that_breaks_callers_is_told_by_field(tree: Path) -> None:
    """Whoever has built on a release would find out only when their calls mean something else."""
    assert check(tree).returncode == 0
    assert check(tree, "keep").returncode == 0
    assert check(tree).returncode == 0
    text = (tree / JOB).read_text()
    (tree / JOB).write_text(text.replace("string queue = 30", "string queue = 1001"))
    broken = check(tree)
    assert broken.returncode != 0
    assert "queue" in broken.stdout + broken.stderr
    (tree / JOB).write_text(text.replace("string queue = 30", "string further = 1000;\n  string queue = 30"))
    assert check(tree).returncode == 0


def test_code_is_generated_beside_what_runs(tree: Path) -> None:
    """A node that starts meanwhile would import half of the contracts."""
    wire = tree / "libs" / "wire" / "suanmesh"
    shutil.copytree(ROOT / "libs" / "wire" / "suanmesh", wire, ignore=shutil.ignore_patterns("__pycache__"))
    made = {path: path.read_bytes() for path in wire.rglob("*") if path.is_file()}
    kept, other, lost = sorted(made)[:3]
    nobodys, inode = wire / "gone" / "v1" / "gone_pb2.py", kept.stat().st_ino
    other.write_text("of an older contract")
    lost.unlink()
    nobodys.parent.mkdir(parents=True)
    nobodys.touch()

    subprocess.run([sys.executable, "protos/generate.py"], cwd=tree, check=True, timeout=120)

    assert {path: path.read_bytes() for path in wire.rglob("*") if path.is_file()} == made
    assert kept.stat().st_ino == inode
