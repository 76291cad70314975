"""The wheel and its extras, as they lie on the machines of a user, a site and a node."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.mesh.installs import ROOT, built_wheel, install

pytestmark = pytest.mark.mesh


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built once."""
    return built_wheel(tmp_path_factory.mktemp("wheel"))


def say(*command: str) -> tuple[int, str]:
    """How a command ends, and what it says."""
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def test_the_wheel_has_every_module_and_what_they_read(wheel: Path) -> None:
    """A text or a schema that is left out is missed by users alone: a checkout has it."""
    kept = subprocess.run(
        ["git", "ls-files", "libs", "services", "deploy/local"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    inside = [line.partition("/suanmesh")[2] for line in kept.stdout.splitlines() if "/suanmesh" in line]
    with zipfile.ZipFile(wheel) as archive:
        packed = {name.removeprefix("suanmesh") for name in archive.namelist()}

    assert len(inside) > 500
    assert sorted(set(inside) - packed) == []


@pytest.mark.parametrize(
    ("extra", "lacking"),
    [
        ("", {"suanmesh-agent": "agent", "suan site run /": "agent", "suan dev": "server", "suan doctor": "agent"}),
        ("agent", {"suan dev": "server"}),
        ("server", {}),
    ],
)
def test_what_needs_an_extra_names_it(wheel: Path, tmp_path: Path, extra: str, lacking: dict[str, str]) -> None:
    """Who installed too little is told what to install, in one line and not by a traceback."""
    programs = install(tmp_path / "installed", wheel, extra)

    assert say(f"{programs}/suan", "--version")[0] == 0
    for command, wanted in lacking.items():
        program, *arguments = command.split()
        status, said = say(f"{programs}/{program}", *arguments)
        assert (status, len(said.splitlines())) == (1, 1), said
        assert said.endswith(f"is missing: pip install 'suanmesh[{wanted}]'")


def test_a_site_has_nothing_of_a_node(wheel: Path, tmp_path: Path) -> None:
    """An owner's machine runs what a site needs: no database, no service, and it says so itself that it can."""
    programs = install(tmp_path / "installed", wheel, "agent")

    for package in ("numpy", "psycopg", "sqlalchemy"):
        assert say(f"{programs}/python", "-c", f"import {package}")[1].endswith(f"No module named '{package}'")
    assert say(f"{programs}/python", "-c", "import suanmesh_agent.commands") == (0, "")


def test_tasks_of_a_site_do_not_run_in_its_agents_environment(wheel: Path, tmp_path: Path) -> None:
    """A job would depend on the packages of a version of Suanmesh, and read what else was installed beside it."""
    programs = install(tmp_path / "installed", wheel, "agent")
    told = "import dataclasses as d; from suanmesh_agent.settings import AgentSettings as S;"
    told += "print(*(each.default for each in d.fields(S) if each.name == 'runtime_prefix'))"

    assert say(f"{programs}/python", "-c", told) == (0, sys.base_prefix)
