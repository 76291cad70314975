"""Whether tasks can run here as they are meant to: found out by running one."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import tempfile
import time
from pathlib import Path

from suanmesh_agent.domain.tasks import TaskKey, TaskSpec
from suanmesh_agent.engines.process.fork_server import ForkServer
from suanmesh_agent.engines.process.layout import Layout

_PROBE_S = 15
_SCRATCH_BYTES = 1 << 20


def fault(layout: Layout, fork_server: ForkServer) -> str:
    """What keeps a task from running under `layout`; empty where nothing does. Takes a fraction of a second."""
    layout.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".probe-", dir=layout.folder.parent) as name:
        tried = dataclasses.replace(layout, folder=Path(name), cgroups=None, permission="")
        given = Path(name, "given")
        given.mkdir(mode=0o500)
        command_line = ("/usr/bin/env", "ls", "in")
        spec = TaskSpec(TaskKey("probe", 0), command_line, inputs=(("in", given),), scratch_bytes=_SCRATCH_BYTES)
        said = b""
        try:
            tried.lay_out(spec)
            started, ended = fork_server.fork(tried.home(spec.key) / "shim")
            said = _heard(started)
            _heard(ended)
            return _ending(tried.home(spec.key))
        except FileNotFoundError as fault:
            words = said.decode(errors="replace").strip() or str(fault)
            return words.rpartition("\n")[2] or "the shim did not start"
        except OSError as fault:
            return str(fault)


def _heard(handle: int) -> bytes:
    """What is said on it until it is let go. Raises TimeoutError."""
    said, give_up = b"", time.monotonic() + _PROBE_S
    try:
        while select.select([handle], [], [], max(0.0, give_up - time.monotonic()))[0]:
            content = os.read(handle, 4096)
            if not content:
                return said
            said += content
    finally:
        os.close(handle)
    raise TimeoutError("the shim did not start in time")


def _ending(home: Path) -> str:
    """How the task of a started shim ended; empty where well."""
    ended = json.loads((home / "shim" / "exit.json").read_text())
    if ended["exit_status"] == 0 and not ended["failure"]:
        return ""
    words = b"".join(path.read_bytes() for path in (home / "shim").glob("*.log")).decode(errors="replace").strip()
    return words or f"a task ends with {ended['failure'] or ended['exit_status']}"
