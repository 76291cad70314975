"""The unit of a site that root runs leaves what its walls need: tasks are shut in under it as they are without it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from suanmesh_agent.unit import unit

PROBE = """
import sys
from pathlib import Path
from suanmesh_agent.settings import AgentSettings
from suanmesh_agent.site import open_engine

engine = open_engine(AgentSettings(site="guiyang", data_dir=Path(sys.argv[1])))
print("walled", engine.capabilities().walled, engine.fault())
engine.close()
"""
READ_ONLY = "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && mount -o remount,ro,bind /sys"
"""What ProtectKernelTunables comes to."""
PROBE_S_MAX = 240


def _probed(folder: Path, *before: str) -> str:
    command = [*before, sys.executable, "-c", PROBE, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_S_MAX, check=False)
    return done.stdout.strip().rpartition("\n")[2] or done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has walls of its own")
@pytest.mark.skipif(
    not (shutil.which("setpriv") and shutil.which("unshare")), reason="util-linux is not installed here"
)
def test_the_capabilities_that_the_unit_leaves_are_enough_for_walls(tmp_path: Path) -> None:
    """An owner who has systemd run the site must not have strangers' tasks refused, or run without walls."""
    free = _probed(tmp_path / "free")
    if not free.startswith("walled True"):
        pytest.skip(f"this machine makes no walls anyway: {free}")
    text = unit("guiyang", "root", tmp_path, tmp_path / "agent.env", "/bin/true")
    assert "NoNewPrivileges=yes" in text
    assert "ProtectKernelTunables=yes" in text
    lines = [line.partition("=")[2] for line in text.splitlines() if line.startswith("CapabilityBoundingSet=")]
    left = ",".join(f"+{each.removeprefix('CAP_').lower()}" for line in lines for each in line.split())
    dropped = ("setpriv", f"--bounding-set=-all,{left}", "--inh-caps=-all", "--no-new-privs")
    inside = ("unshare", "--mount", "--propagation", "private", "sh", "-c", f'{READ_ONLY} && exec "$@"', "sh", *dropped)

    assert _probed(tmp_path / "shut-in", *inside) == free
