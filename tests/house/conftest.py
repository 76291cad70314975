"""The repository as the house tests see it: every file that is or would be committed, read once."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WIRE = "libs/wire/"


@dataclass(frozen=True)
class Source:
    """One text file."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """What Python makes of it."""
        return ast.parse(self.text, self.path)

    @property
    def name(self) -> str:
        """File name without its ending."""
        return Path(self.path).stem


@dataclass(frozen=True)
class Repository:
    """Every file written by hand."""

    root: Path
    sources: tuple[Source, ...]

    def under(self, *folders: str, ending: str = ".py") -> list[Source]:
        """The files below any of `folders` with that ending."""
        return [s for s in self.sources if s.path.startswith(folders) and s.path.endswith(ending)]

    def text(self, path: str) -> str:
        """The text of the file at `path`."""
        return next(s.text for s in self.sources if s.path == path)

    @cached_property
    def python(self) -> list[Source]:
        """Every Python file."""
        return self.under("")

    @cached_property
    def product(self) -> list[Source]:
        """Every Python file that is installed."""
        return self.under("libs/", "services/", "deploy/local/")


@pytest.fixture(scope="session")
def repository() -> Repository:
    """Read once for all house tests."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    paths = [p for p in listed.stdout.splitlines() if not p.startswith(WIRE) and (ROOT / p).is_file()]
    return Repository(ROOT, tuple(Source(p, (ROOT / p).read_text()) for p in sorted(set(paths))))
