"""NVIDIA's management library on a machine without a card: a stand-in in C, compiled here, loaded under its name."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

SONAME = "libnvidia-ml.so.1"
CARDS = "STAND_IN_CARDS"
LOST = 15
"""NVML_ERROR_GPU_IS_LOST."""


@cache
def load_stand_in() -> None:
    """Once a process, in place of the real one; whoever opens the library by its name finds it loaded."""
    if ctypes.util.find_library("nvidia-ml"):
        pytest.skip("the machine has NVIDIA's own library")
    with tempfile.TemporaryDirectory() as folder:
        ctypes.CDLL(str(compiled(Path(folder))))


def compiled(folder: Path) -> Path:
    """The library, in a folder of its own; skips where there is no compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("gcc is not installed: there is no stand-in for NVIDIA's library")
    library = folder / SONAME
    source = Path(__file__).parent / "nvml.c"
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{SONAME}"]
    subprocess.run([compiler, *flags, "-o", library, source], check=True)
    return library


def written(file: Path, models: Sequence[str], *, lost: frozenset[int] = frozenset(), busy: int = 0) -> None:
    """Have the cards stand so from now on for whoever is told of the file."""
    rows = [
        f"GPU-{minor} {minor} {80 << 30} {1 << 30} {busy} {LOST * (minor in lost)} {model}"
        for minor, model in enumerate(models)
    ]
    file.with_suffix(".new").write_text("\n".join(rows) + "\n")
    file.with_suffix(".new").rename(file)


def device_files(folder: Path, count: int) -> Path:
    """A `/dev` for so many cards, which lead nowhere."""
    folder.mkdir()
    for name in ("nvidiactl", *(f"nvidia{minor}" for minor in range(count))):
        (folder / name).symlink_to("/dev/null")
    return folder


class StandInCards:
    """Cards of the stand-in, each with a file for `/dev`, as a test wants them."""

    def __init__(self, folder: Path, models: tuple[str, ...]) -> None:
        load_stand_in()
        self.dev = device_files(folder / "dev", len(models))
        self._file = folder / "cards"
        self._models = models
        os.environ[CARDS] = str(self._file)  # the library reads it at each call
        self.tell()

    def tell(self, *, lost: frozenset[int] = frozenset(), busy: int = 0) -> None:
        """Have the cards stand so from now on."""
        written(self._file, self._models, lost=lost, busy=busy)

    def close(self) -> None:
        """Nobody finds a card any more."""
        os.environ.pop(CARDS, None)
