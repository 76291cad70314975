"""Wheels from the mirror that a site's owner has set: looked for and brought by the agent, outside of any sandbox.

Nothing of them is run here: only wheels are taken, and of names and versions alone. Of the wheels that travel with a
job pip sees those that ask for no more than that.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from suanmesh_kernel.requirements import REQUIREMENT_PATTERN

FETCH_S_MAX = 900.0


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where wheels are had."""

    address: str
    """`http(s)://...`, an index as pip has it, or a folder of wheels; empty for none."""
    python: Path
    """Interpreter the wheels are for."""
    pip: Path | None = None
    """Folder of the agent's own pip, for one that has none; None where the agent has none either."""

    def command(self, wanted: Sequence[str], wheels: Path | None, target: Path) -> list[str]:
        """The command line that brings what `wanted` need, beside what lies in `wheels`."""
        web = self.address.startswith(("http://", "https://"))
        source = ["--index-url", self.address] if web else ["--no-index", "--find-links", self.address]
        if self.address.startswith("http://"):
            source += ["--trusted-host", urlsplit(self.address).netloc]
        beside = ["--find-links", str(wheels)] if wheels else []
        pip = [sys.executable, "-I", "-m", "pip", "--python"] if self.pip else []
        pip += [str(self.python)] if self.pip else [str(self.python), "-I", "-m", "pip"]
        bring = [*pip, "download", "--only-binary=:all:", "--dest", str(target)]
        return [*bring, "--no-cache-dir", "--no-input", "--progress-bar=off", *source, *beside, "--", *wanted]

    async def fetch(self, wanted: Sequence[str], wheels: Path | None, target: Path) -> bytes:
        """Bring them to `target`, anew; what was said. What could not be brought is missed by who installs it."""
        await asyncio.to_thread(_emptied, target)
        if wrong := next((each for each in wanted if not REQUIREMENT_PATTERN.fullmatch(each)), None):
            return f"suan: {wrong[:80]!r} is not looked for: it is not a name with versions\n".encode()
        if wheels is None:
            return await _said(self.command(wanted, None, target), target)
        fit = target.with_name(f"{target.name}-fit")
        try:
            await asyncio.to_thread(shutil.rmtree, fit, ignore_errors=True)
            left_out = await _said([sys.executable, "-I", "-m", "suanmesh_agent.wheels", str(wheels), str(fit)], target)
            return left_out + await _said(self.command(wanted, fit if fit.is_dir() else None, target), target)
        finally:
            await asyncio.to_thread(shutil.rmtree, fit, ignore_errors=True)


def own_pip() -> Path | None:
    """Where pip of the agent's own environment lies."""
    found = importlib.util.find_spec("pip")
    return Path(found.origin).parent if found is not None and found.origin else None


async def _said(command: Sequence[str], folder: Path) -> bytes:
    """What a program says that runs in `folder`, and nothing of it is left when it has said it."""
    told = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PIP_CONFIG_FILE": "/dev/null", "LANG": "C.UTF-8"}
    told["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=told,
        cwd=folder,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(FETCH_S_MAX):
            said, _ = await process.communicate()
    except TimeoutError:
        said = f"suan: given up after {FETCH_S_MAX:g} s\n".encode()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return said


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
