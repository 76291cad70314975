"""The page on a node on several machines, typed into machines of the test's own, one of which then dies."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from suanmesh_local.tools import ToolMissing, cache_dir, etcd
from tests import postgres
from tests.mesh.machines import STOP_S_MAX, Machine, NoNamespaces, machines
from tests.mesh.test_a_node_is_installed import blocks, carry

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(600)]

ADDRESSES = {
    "first": "203.0.113.10",
    "second": "203.0.113.11",
    "third": "203.0.113.12",
    "fourth": "203.0.113.13",
    "user": "203.0.113.40",
}
SQL = "postgresql://suanmesh@db.example/suanmesh"
"""Of the page."""
DEADLINE_S = 10.0
"""Of each call."""
ROUNDS = 10
MEMBERS_PORT = 7456
"""Of etcd, as the page on firewalls has it."""
WORLD = """export SUANMESH_CONFIG=pilot/config.toml
suan party create demo --kind consumer --currency CNY
suan party create backbone --kind network-provider --currency CNY
suan account create demo --party demo --currency CNY
suan user invite demo/alice > alice.invite
"""
DEATH = Path(__file__).with_name("death_of_a_machine.py")
LEADING = Path(__file__).with_name("leading_member.py")


@pytest.fixture
def places(tmp_path: Path) -> Iterator[dict[str, Machine]]:
    """The node's three machines, which run it as the page says, and a user's."""
    binaries = postgres.binaries()
    if binaries is None:
        pytest.skip(postgres.ABSENT)
    try:
        etcd(cache_dir())  # from here on nothing outside is reached
    except ToolMissing as fault:
        pytest.skip(f"etcd is not to be had here: {fault}")
    try:
        with postgres.running(binaries) as server, machines(tmp_path, ADDRESSES) as made:
            found(made, server.new_database())
            yield made
    except NoNamespaces as fault:
        pytest.skip(f"network namespaces cannot be made here: {fault}")


def found(places: dict[str, Machine], database: str) -> None:
    """Type the page, and let a user in."""
    init, *joins, invite = blocks("several-machines.md")[:4]
    first, second, third, user = (places[name] for name in ADDRESSES if name != "fourth")
    command, run = init.strip().splitlines()
    first.type(command.replace(SQL, f"'{database}'"))
    said = [first.leave_running(run), *(joined(first, *each) for each in zip((second, third), joins, strict=True))]
    for lines in said:
        ready(lines)
    first.type(invite)
    first.type(WORLD)
    carry(first, user, "alice.invite")
    user.type("suan login - < alice.invite")


def joined(first: Machine, machine: Machine, join: str) -> Iterator[str]:
    """Bring a machine its bundle and type what it is to do; what it says."""
    command, run = join.strip().splitlines()
    bundle = command.split()[-1]
    shutil.move(first.home / "pilot" / "machines" / bundle, machine.home / bundle)
    machine.type(command)
    return machine.leave_running(run)


def grown(places: dict[str, Machine]) -> None:
    """Type what the page says on a machine that comes and one that goes; a user knows the new gateway from then on."""
    add, join, remove = blocks("several-machines.md")[4:7]
    first, third, fourth, user = (places[name] for name in ("first", "third", "fourth", "user"))
    first.type(add)
    ready(joined(first, fourth, join))
    first.type(
        "until suan node list-machines pilot | grep -E '203.0.113.13 +6 of 6 +etcd-3 +etcd answers'; do sleep 1; done"
    )
    listed = first.type(remove)
    gone, _ = third.running[-1]
    assert gone.wait(STOP_S_MAX) == 0, "it ends by itself once it was taken out"
    assert ADDRESSES["third"] not in listed.rpartition("HOST ")[2], listed
    user.type("find .config -name gateways -exec touch -d yesterday {} + && suan site list")
    assert f"{ADDRESSES['fourth']}:7443" in user.type("cat $(find .config -name gateways)")

    kill(fourth)
    refused = first.type("suan node remove-machine pilot 203.0.113.11 || echo refused")
    assert "too few to decide" in refused, refused
    first.type(remove.replace("203.0.113.12", ADDRESSES["fourth"]))


def kill(machine: Machine) -> None:
    """End all that runs on a machine, at once."""
    process, _ = machine.running[-1]
    for each in (*psutil.Process(process.pid).children(recursive=True), process):
        each.kill()


def ready(lines: Iterator[str]) -> None:
    """Read on until a machine of the node says that it is ready."""
    said = []
    for line in lines:
        said.append(line)
        if "ready:" in line:
            return
    raise AssertionError("".join(said))


def death_of(places: dict[str, Machine], victim: str) -> dict[str, Any]:
    """Kill everything on a machine, as `loss_of` it."""
    pids = " ".join(processes_of(places[victim]))  # of which some die with the first
    return loss_of(places, ["sh", "-c", f"kill -KILL {pids} || true"])


def loss_of(places: dict[str, Machine], away: list[str], back: list[str] | None = None) -> dict[str, Any]:
    """Take a machine away under calls from the user's, made over what both were told of the node; give it back."""
    user = places["user"]
    operators = places["second"].home / "pilot" / "config.toml"
    users = user.home / ".config" / "suanmesh" / "config.toml"
    commands = [json.dumps(each) for each in (away, back) if each]
    told = shlex.join(map(str, [sys.executable, DEATH, operators, users, DEADLINE_S, *commands]))
    *_, said = user.type(told).strip().splitlines()
    return dict(json.loads(said))


def processes_of(machine: Machine) -> list[str]:
    """Numbers of all processes that run there, those before which others hang on."""
    process, _ = machine.running[-1]
    return [str(each.pid) for each in (psutil.Process(process.pid), *psutil.Process(process.pid).children(True))]


def silence_of(machine: Machine, how: str) -> tuple[list[str], list[str]]:
    """The command after which a machine says nothing, though no connection of its ends, and the one that ends that."""
    if how == "cut off":
        return machine.pull_cable(), machine.plug_cable()
    pids = processes_of(machine)
    return ["kill", "-STOP", *pids], ["kill", "-CONT", *pids]


def test_both_languages_have_the_same_commands() -> None:
    """Whoever reads the other page must not end elsewhere."""
    assert blocks("several-machines.md") == blocks("several-machines.zh-CN.md")


def test_a_node_goes_on_when_a_machine_falls_silent_and_when_one_dies(places: dict[str, Machine]) -> None:
    """Whoever pays for three machines must not stand still with one of them, nor lose what was acknowledged."""
    silence = loss_of(places, *silence_of(places["first"], "frozen"))  # the second leads from then on
    death = death_of(places, "second")  # how long it takes, and whom it costs a call, is for `make test-faults` to say

    for loss in (silence, death):
        assert loss["lost"] == []
        assert set(loss["next_write_s"]) == {"registry", "network_orchestrator", "transport", "scheduler", "accounting"}
    ready(places["second"].leave_running("suan node run pilot"))
    grown(places)


def lead_with(places: dict[str, Machine], victim: str) -> None:
    """Have the member of etcd on a machine lead the others, so that its death costs them an election."""
    third = places["third"]
    members = [f"{ADDRESSES[name]}:{MEMBERS_PORT}" for name in (victim, *({"first", "second", "third"} - {victim}))]
    third.type(" ".join(map(str, [sys.executable, LEADING, third.home / "pilot" / "tls" / "etcd-root", *members])))


def spread(seconds: list[float]) -> str:
    """Where half, nineteen of twenty and all of them lie."""
    ordered = sorted(seconds)
    at = {f"p{part}": ordered[max(0, -(-len(ordered) * part // 100) - 1)] for part in (50, 95)}
    return json.dumps({"n": len(ordered), **at, "max": ordered[-1]})


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_deaths_of_machines_cost_no_call_its_deadline(
    places: dict[str, Machine], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the deadline that calls have, and 20 of them a second. Whoever dies leads all there is to lead: the
    services, since it was the last one alive, and etcd. The figures are printed."""
    waited, slowest = [], []
    for _ in range(ROUNDS):
        for victim in ("first", "second"):
            lead_with(places, victim)
            death = death_of(places, victim)
            waited += death["next_write_s"].values()
            slowest.append(death["slowest_call_s"])
            with capsys.disabled():
                print(f"\n{victim}: {json.dumps(death)}")
            assert (death["failed"], death["lost"]) == ([], [])
            ready(places[victim].leave_running("suan node run pilot"))
    with capsys.disabled():
        print(f"\nnext writes: {spread(waited)}; slowest calls: {spread(slowest)}")


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("how", ["frozen", "cut off"])
def test_machines_that_say_nothing_cost_no_call_its_deadline(
    places: dict[str, Machine], capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """Power, a cable or a kernel that fails ends no connection: nobody is told. Whoever falls silent leads all there is
    to lead, and comes back under calls: it must not do then what others have done meanwhile."""
    waited, slowest = [], []
    for _ in range(ROUNDS):
        for victim in ("first", "second"):
            lead_with(places, victim)
            loss = loss_of(places, *silence_of(places[victim], how))
            waited += loss["next_write_s"].values()
            slowest.append(loss["slowest_call_s"])
            with capsys.disabled():
                print(f"\n{victim} {how}: {json.dumps(loss)}")
            assert (loss["failed"], loss["lost"]) == ([], [])
    with capsys.disabled():
        print(f"\n{how}: next writes: {spread(waited)}; slowest calls: {spread(slowest)}")
