"""The image of deploy/oci, built without a registry, and its programs in it with the settings of a real node."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from suanmesh_local.control_plane import AREAS
from suanmesh_local.ports import free_ports

pytestmark = [pytest.mark.mesh, pytest.mark.image, pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parents[2]
SUAN = Path(sys.executable).parent / "suan"
USER = 10001


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    """A container of the image."""
    lacking = [name for name in ("buildah", "mmdebstrap") if shutil.which(name) is None]
    if lacking or os.geteuid() != 0:
        pytest.skip(f"an image is built by root, with {', '.join(lacking) or 'buildah and mmdebstrap'}")
    image = "localhost/suanmesh:tried"
    build = [str(ROOT / "deploy" / "oci" / "build.sh"), image]
    subprocess.run(build, check=True, capture_output=True, env=os.environ | {"PYTHON": sys.executable})
    made = subprocess.run(["buildah", "from", image], check=True, capture_output=True, text=True).stdout.strip()
    yield made
    subprocess.run(["buildah", "rm", made], check=True, capture_output=True)
    subprocess.run(["buildah", "rmi", image], check=True, capture_output=True)


def inside(container: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """What a command says in the container. It must end well."""
    run = ["buildah", "run", "--isolation", "chroot", *options, container, "--", *command]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_it_runs_as_nobody_of_the_host(container: str) -> None:
    """A process that is broken into must not be root, and must not change what it runs."""
    assert inside(container, "id", "-u") == str(USER)
    assert inside(container, "suan", "--version")
    assert inside(container, "find", "/opt/suanmesh", "-writable", "-not", "-type", "l") == ""


def test_every_service_starts_with_the_settings_of_a_node(container: str, tmp_path: Path) -> None:
    """An operator brings what `suan node init` wrote, and no setting or package may be missing then."""
    folder = tmp_path / "pilot"
    found = ["node", "init", "pilot", "--advertise", "127.0.0.1", "--port", str(free_ports(1)[0])]
    subprocess.run([SUAN, *found, "--folder", str(folder)], check=True, capture_output=True)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, USER, USER)

    for area in AREAS:
        told = shlex.split((folder / "env" / f"{area}.env").read_text())
        options = (f"--volume={folder}:{folder}", *(f"--env={setting}" for setting in told))
        inside(container, f"suanmesh-{area.replace('_', '-')}", "--check", options=options)
