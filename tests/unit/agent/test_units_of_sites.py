"""The systemd unit of a site's agent: accepted without a word, shut in, and no end of what runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from suanmesh_agent.unit import file_name, unit
from tests.unit.local.test_units import ANALYZE, EXPOSURE_MAX_TENTHS, analyzed

EXPOSURE_OF_ROOT_MAX_TENTHS = 47
"""Whoever gives tasks users and mounts of their own may do much."""


def written(folder: Path, user: str) -> Path:
    """The unit of a site in a folder with a blank and a percent sign in its name."""
    home = folder / "a site 5%"
    home.mkdir()
    file = folder / file_name("guiyang")
    file.write_text(unit("guiyang", user, home, home / "agent.env", shutil.which("true") or "/bin/true"))
    return file


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed here")
@pytest.mark.parametrize(("user", "exposure"), [("daemon", EXPOSURE_MAX_TENTHS), ("root", EXPOSURE_OF_ROOT_MAX_TENTHS)])
def test_systemd_takes_them_and_finds_them_shut_in(tmp_path: Path, user: str, exposure: int) -> None:
    """An owner lets strangers' programs in: what faces them must not have the machine where a hole is found."""
    file = written(tmp_path, user)

    said = analyzed("verify", str(file))
    assert (said.returncode, said.stderr) == (0, "")
    told = analyzed("security", "--offline=true", "--no-pager", f"--threshold={exposure}", str(file))
    assert told.returncode == 0, told.stdout[-300:]


@pytest.mark.parametrize("user", ["daemon", "root"])
def test_what_runs_outlives_a_stopped_agent(tmp_path: Path, user: str) -> None:
    """An owner restarts the agent after a change of its settings; that must end nobody's job."""
    lines = written(tmp_path, user).read_text().splitlines()

    assert "KillMode=process" in lines
    assert not any(line.startswith("RemoveIPC=yes") for line in lines)
