"""A Python that tasks of tried-out sites have to themselves: an environment with what the examples import, made once.

The launcher's own is of no use to a task: it holds whatever the launcher needs, and another version of it tomorrow.
"""

from __future__ import annotations

import os
import shutil
import sys
import venv
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

PACKAGES = ("numpy", "pip")
"""For the example that learns digits, and for the `setup` of jobs; those that are installed here."""


def task_python(cache: Path) -> Path:
    """The folder of the environment, below `cache`. Raises OSError."""
    packages = _installed()
    python = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    name = "-".join(["python", python, *(f"{each.name}-{each.version}" for each in packages)])
    if not (cache / name).exists():
        staged = cache / f".{name}.{os.getpid()}"
        shutil.rmtree(staged, ignore_errors=True)
        venv.create(staged, symlinks=True)
        (into,) = staged.glob("lib/python3*/site-packages")
        for each in packages:
            _lay_out(each, into)
        _take_place(staged, cache / name)
    return cache / name


def _installed() -> list[Distribution]:
    found = []
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(distribution(name))
    return found


def _lay_out(package: Distribution, into: Path) -> None:
    """Its files without its programs, as links where the file system has them."""
    for file in package.files or ():
        if file.parts[0] == ".." or file.suffix == ".pyc":
            continue
        source, target = Path(str(package.locate_file(file))), into / file
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)


def _take_place(staged: Path, target: Path) -> None:
    """Another launcher may have been first: theirs is as good. Raises OSError."""
    try:
        staged.rename(target)
    except OSError:
        shutil.rmtree(staged)
        if not target.exists():
            raise
