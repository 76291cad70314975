"""`suan node init`: what it leaves starts by the launcher, and by the plain commands of its units."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suanmesh_local.facts import checked_facts, read_facts
from suanmesh_local.growing import taken_port
from suanmesh_local.identities import AREAS
from suanmesh_local.ports import free_ports
from suanmesh_local.renewing_units import grown, renewed
from suanmesh_local.units import unit_name
from tests.mesh.unit_stand_in import UnitsStandIn

pytestmark = pytest.mark.mesh

SUAN = Path(sys.executable).parent / "suan"


def suan(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a command of the node's operator says."""
    environment = os.environ | {"SUANMESH_CONFIG": str(folder / "config.toml"), "LANG": "C.UTF-8"}
    command = [str(SUAN), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)


def test_a_founded_node_starts_by_the_commands_of_its_units(tmp_path: Path) -> None:
    """Who runs a node by systemd, or by anything else that starts commands, must not need the launcher."""
    folder, port = tmp_path / "pilot", str(port_of_a_node())
    founded = suan(
        "node", "init", "pilot", "--advertise", "127.0.0.1", "--port", port, "--folder", str(folder), folder=folder
    )
    assert founded.returncode == 0, founded.stderr
    again = suan("node", "init", "pilot", "--advertise", "127.0.0.1", "--folder", str(folder), folder=folder)
    assert (again.returncode, "holds a node already" in again.stderr) == (1, True)
    checked = suan("node", "check", str(folder), folder=folder)
    assert (checked.returncode, f"nothing answers at 127.0.0.1:{port}" in checked.stdout) == (0, True), checked.stdout

    with ExitStack() as ending:
        units = UnitsStandIn(folder / "units")
        ending.callback(units.stop_all)
        for name in ("etcd", *AREAS):
            units.start(unit_name("pilot", name))
        created = suan(
            "party", "create", "acme", "--kind", "consumer", "--currency", "CNY", "--timeout", "90s", folder=folder
        )
        assert created.returncode == 0, created.stderr
        listed = suan("party", "list", "-o", "name", folder=folder)
        assert listed.stdout.split() == ["parties/acme", "parties/operator"]
        checked = suan("node", "check", str(folder), folder=folder)
        assert f"answers at 127.0.0.1:{port}" in checked.stdout
        _renewed_unit_by_unit(folder, units)


def _renewed_unit_by_unit(folder: Path, units: UnitsStandIn) -> None:
    """Who has systemd run the node must come to a new version by one command, with the care that the launcher takes."""
    unit_of = {area: unit_name("pilot", area) for area in AREAS}
    before = {unit: process.pid for unit, process in units.running.items()}
    told: list[str] = []

    assert asyncio.run(renewed(folder, units, lambda name, state: told.append(name))) == ""

    assert sorted(told) == sorted(AREAS)
    assert units.done == ["reload", *(unit_of[area] for area in told)]
    assert told[-1] == "gateway", "it knows all others, and they are renewed by then"
    after = {unit: process.pid for unit, process in units.running.items()}
    assert {unit for unit in before if before[unit] == after[unit]} == {unit_name("pilot", "etcd")}
    listed = suan("party", "list", "-o", "name", folder=folder)
    assert listed.stdout.split() == ["parties/acme", "parties/operator"]

    _on_several_machines(folder, units)
    units.done.clear()
    units.broken.add(unit_of["registry"])
    problem = asyncio.run(renewed(folder, units, lambda name, state: None))
    assert problem is not None
    assert "suanmesh-pilot-registry.service" in problem
    assert units.done == ["reload", unit_of["registry"]], "where one does not come up the rest stays as it was"


def _on_several_machines(folder: Path, units: UnitsStandIn) -> None:
    """Who has systemd run the node must come from one machine to several without founding another."""
    facts = read_facts(folder)
    before = {unit: process.pid for unit, process in units.running.items()}
    wanted = replace(facts, machines=(facts.host,), etcd=(facts.host,), etcd_names=("etcd",))

    assert asyncio.run(grown(folder, units, wanted))

    after = {unit: process.pid for unit, process in units.running.items()}
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values()), "each listens for other machines by now"
    assert read_facts(folder) == wanted
    listed = suan("party", "list", "-o", "name", folder=folder)
    assert listed.stdout.split() == ["parties/acme", "parties/operator"]
    machines = suan("node", "list-machines", str(folder), folder=folder)
    assert "6 of 6" in machines.stdout, machines
    assert "etcd answers" in machines.stdout, machines


def port_of_a_node() -> int:
    """One with which all ports are free that a node on several machines reckons from it."""
    while True:
        port = free_ports(1)[0]
        facts = replace(checked_facts("pilot", "127.0.0.1", port), etcd=("127.0.0.1",))
        if not taken_port(facts):
            return port


def _ended(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    process.wait()


def test_a_node_that_runs_renews_its_services_when_it_is_told_to(tmp_path: Path) -> None:
    """Who installs a new version must not have to stop the node, nor find out which process still is of the old one."""
    folder, port = tmp_path / "pilot", str(free_ports(1)[0])
    arguments = ("--advertise", "127.0.0.1", "--port", port, "--folder", str(folder))
    assert suan("node", "init", "pilot", *arguments, folder=folder).returncode == 0
    idle = suan("node", "upgrade", str(folder), folder=folder)
    assert (idle.returncode, "none of its units is active" in idle.stderr) == (1, True), idle.stderr
    environment = os.environ | {"SUANMESH_CONFIG": str(folder / "config.toml"), "LANG": "C.UTF-8"}
    command = [str(SUAN), "node", "run", str(folder)]
    with ExitStack() as ending:
        running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        ending.callback(_ended, running)
        assert running.stdout is not None
        ending.callback(running.stdout.close)
        before = {}
        while not (line := running.stdout.readline()).startswith("ready:"):
            assert line, "it has ended"
            before[line.split()[0]] = line
        renewed = suan("node", "upgrade", str(folder), folder=folder)
        assert renewed.returncode == 0, renewed.stderr
        areas = [line.split()[0] for line in renewed.stdout.splitlines()]
        assert sorted(areas) == ["accounting", "gateway", "network_orchestrator", "registry", "scheduler", "transport"]
        assert areas[-1] == "gateway"
        after = {line.split()[0]: line for line in (running.stdout.readline() for _ in areas)}
        assert all(after[area] != before[area] for area in areas), "each is another process by now"
        created = suan("party", "create", "acme", "--kind", "consumer", "--currency", "CNY", folder=folder)
        assert created.returncode == 0, created.stderr
