"""systemd units of a node: accepted without a word, and shut in."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from suanmesh_local.units import Started, units

ANALYZE = shutil.which("systemd-analyze")
EXPOSURE_MAX_TENTHS = 30


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The units of a node in a folder with a blank and a percent sign in its name."""
    folder, at = tmp_path / "a node 5%", tmp_path / "units"
    folder.mkdir()
    at.mkdir()
    program = shutil.which("true") or "/bin/true"
    started = [
        Started(name, [program, "--of=$HOME", str(folder)], folder / f"{name}.env") for name in ("etcd", "gateway")
    ]
    for name, text in units("pilot", "root", folder, started).items():
        (at / name).write_text(text)
    return at


def analyzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What systemd says of units."""
    return subprocess.run([str(ANALYZE), *arguments], capture_output=True, text=True, check=False)


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed here")
def test_systemd_has_nothing_to_say_against_them(written: Path) -> None:
    """An operator who is shown warnings about units that were made for him trusts none of them."""
    said = analyzed("verify", *map(str, written.iterdir()))

    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed here")
def test_a_service_that_is_taken_over_can_do_little(written: Path) -> None:
    """Whoever finds a hole in a service that faces others must not have the machine with it."""
    threshold = f"--threshold={EXPOSURE_MAX_TENTHS}"
    for unit in written.glob("*.service"):
        told = analyzed("security", "--offline=true", "--no-pager", threshold, str(unit))
        assert told.returncode == 0, told.stdout[-300:]


def test_services_start_after_etcd_and_with_the_target(written: Path) -> None:
    """One that starts first would fail until etcd is there, each time the machine starts."""
    gateway = (written / "suanmesh-pilot-gateway.service").read_text()

    assert "After=network-online.target suanmesh-pilot-etcd.service\n" in gateway
    assert "suanmesh-pilot-gateway.service" in (written / "suanmesh-pilot.target").read_text()


def test_what_ends_again_and_again_is_started_until_it_stays(written: Path) -> None:
    """etcd on a full disk ends at once each time: systemd gives up after five, and stays down once there is room."""
    for unit in written.glob("*.service"):
        assert "StartLimitIntervalSec=0\n" in unit.read_text().partition("[Service]")[0]
