"""The UCI optical digits as a dataset folder, exported once from scikit-learn's wheel, which is not installed."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zipfile
from pathlib import Path

from suanmesh_local.tools import cache_dir

IMAGES = 1797
_MEMBER = "sklearn/datasets/data/digits.csv.gz"
_WHEEL = "scikit-learn>=1.5"
DOWNLOAD_S_MAX = 300


DATASET = "digits"


class DigitsMissing(Exception):
    """The wheel could not be had; says what was tried."""


def export(folder: Path, wheels: Path | None = None) -> Path:
    """Lay `digits.csv` into `folder`, one image a line, and answer the folder. Raises DigitsMissing."""
    wheels = wheels or cache_dir().parent / "wheels"
    target = folder / "digits.csv"
    if not target.exists():
        table = gzip.decompress(_read(_wheel(wheels)))
        lines = table.count(b"\n")
        if lines != IMAGES:
            raise DigitsMissing(f"{_MEMBER} holds {lines} images, not {IMAGES}")
        folder.mkdir(parents=True, exist_ok=True)
        target.write_bytes(table)
    return folder


def _wheel(wheels: Path) -> Path:
    found = sorted(wheels.glob("scikit_learn-*.whl"))
    if found:
        return found[-1]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(wheels), _WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S_MAX, check=False)
    found = sorted(wheels.glob("scikit_learn-*.whl"))
    if done.returncode or not found:
        raise DigitsMissing(f"pip could not download {_WHEEL}: {done.stderr.strip()[-300:]}")
    return found[-1]


def _read(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(_MEMBER)
