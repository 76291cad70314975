"""Compare the contracts with those of the last release: `python protos/check_breaking.py [keep]`.

With `keep` the contracts as they are become what later ones are compared with, which is part of making a release. Until
the first is made there is no image, and every change is free (architecture, decision 16).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGE = "protos/released.binpb"
RULES = '{"version": "v1", "breaking": {"use": ["FILE"], "ignore": ["google"]}}'
"""Of generated code in any language, file by file; Google's protos are not ours to keep."""
BUF = str(Path(sys.executable).with_name("buf"))


def compared(root: Path = ROOT) -> int:
    """0 where nothing is broken, or nothing has been released; else what buf ends with, after it has said what."""
    if not (root / IMAGE).exists():
        print("no release has kept its contracts yet: nothing can be broken")
        return 0
    now = f"build/{Path(IMAGE).name}"
    built = _run(root, "build", "-o", f"{now}#format=binpb")
    return built or _run(root, "breaking", now, "--against", IMAGE, "--exclude-imports", "--config", RULES)


def keep(root: Path = ROOT) -> int:
    """Keep the contracts as they are."""
    return _run(root, "build", "-o", f"{IMAGE}#format=binpb")


def _run(root: Path, *words: str) -> int:
    return subprocess.run([BUF, *words], cwd=root, check=False).returncode


if __name__ == "__main__":
    sys.exit(keep() if sys.argv[1:] == ["keep"] else compared())
