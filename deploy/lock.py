"""Write requirements.lock: every package the project needs, with hashes and without addresses."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"


def main() -> int:
    """Resolve base, extras and the dev group together; what is locked already stays as it is while it fits."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        wanted += [each for each in extra if not each.startswith("suanmesh[")]  # another extra, which is here too
    wanted += project["dependency-groups"]["dev"] + project["build-system"]["requires"] + ["editables"]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "requirements.in"
        source.write_text("\n".join(wanted) + "\n")
        command = [str(Path(sys.executable).parent / "pip-compile"), "--quiet", "--strip-extras", "--generate-hashes"]
        command += ["--allow-unsafe", "--no-header", "--no-annotate", "--no-emit-options"]
        command += ["--output-file", str(LOCK), str(source)]
        subprocess.run(command, cwd=ROOT, check=True)
    kept = [line for line in LOCK.read_text().splitlines() if line and not line.startswith(("#", "--"))]
    LOCK.write_text("\n".join(kept) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
