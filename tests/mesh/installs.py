"""What `pip install suanmesh` puts on a machine, with an extra or without: of what is installed here only its own."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from contextlib import suppress
from importlib.metadata import Distribution, EntryPoints, PackageNotFoundError, PathDistribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "#!{python}\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n"


def built_wheel(folder: Path) -> Path:
    """The wheel of this checkout, built without asking a registry."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(folder: Path, wheel: Path, extra: str = "") -> Path:
    """The programs of an environment that has the wheel, what it needs, and what it needs with `extra`."""
    venv.create(folder, symlinks=True)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    own = PathDistribution(next(packages.glob("suanmesh-*.dist-info")))
    for found in _needed(own, extra):
        for name in {file.parts[0] for file in found.files or () if file.parts[0] != ".."} - {"__pycache__"}:
            target, link = Path(str(found.locate_file(name))), packages / name
            if not link.exists():
                link.symlink_to(target)
    _write_programs(folder / "bin", own.entry_points)
    return folder / "bin"


def _write_programs(folder: Path, programs: EntryPoints) -> None:
    for each in programs.select(group="console_scripts"):
        program = folder / each.name
        program.write_text(SCRIPT.format(python=folder / "python", module=each.module, function=each.attr))
        program.chmod(0o755)


def _needed(own: Distribution, extra: str) -> list[Distribution]:
    """All that a distribution asks for with an extra, and what those ask for."""
    found: dict[str, Distribution] = {}
    waiting, done = [(own, extra)], set()
    while waiting:
        asking, with_extra = waiting.pop()
        for line in asking.requires or ():
            wanted = Requirement(line)
            if wanted.marker and not wanted.marker.evaluate({"extra": with_extra}):
                continue
            for each in wanted.extras or {""}:
                if (wanted.name, each) in done:
                    continue
                done.add((wanted.name, each))
                with suppress(PackageNotFoundError):  # of another system or another Python
                    there = own if wanted.name == own.name else distribution(wanted.name)
                    found[wanted.name] = there
                    waiting += [(there, "")] if each == "" else [(there, ""), (there, each)]
    return [each for name, each in found.items() if name != own.name]
