"""What `pip install suanmesh` puts on a user's machine, made of what is installed here: nothing of the extras."""

from __future__ import annotations

import re
import sys
import venv
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

PACKAGE = "suanmesh"
NAME = re.compile(r"[A-Za-z0-9._-]+")
SCRIPT = "#!{python}\nimport sys\n\nfrom suanmesh_cli.main import main\n\nsys.exit(main())\n"


def base_install(folder: Path) -> Path:
    """The folder with `suan` and its Python, which finds the package and what it needs without an extra."""
    venv.create(folder, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    for found in _closure(PACKAGE):
        for name in {file.parts[0] for file in found.files or () if file.parts[0] != ".."} - {"__pycache__"}:
            target, link = Path(str(found.locate_file(name))), packages / name
            if not link.exists():
                link.symlink_to(target)
    suan = folder / "bin" / "suan"
    suan.write_text(SCRIPT.format(python=folder / "bin" / "python"))
    suan.chmod(0o755)
    return suan.parent


def _closure(package: str) -> list[Distribution]:
    """A package, all that it asks for without an extra, and what those ask for."""
    found: dict[str, Distribution] = {}
    waiting = [package]
    while waiting:
        name = waiting.pop()
        with suppress(PackageNotFoundError):  # of another system or another Python
            found[name] = distribution(name)
            asked = [line for line in found[name].requires or () if "extra ==" not in line]
            names = [NAME.match(line) for line in asked]
            waiting += [each[0] for each in names if each and each[0] not in found]
    return list(found.values())
