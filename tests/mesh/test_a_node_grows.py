"""A node that was founded for one machine, in files of that machine, comes to be on three while a job runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from suanmesh_local.tools import ToolMissing, cache_dir, etcd
from tests import postgres
from tests.mesh.machines import Machine, NoNamespaces, machines
from tests.mesh.test_a_machine_dies import SQL, joined, kill, ready
from tests.mesh.test_a_node_is_installed import blocks, carry, type_and_leave

pytestmark = [pytest.mark.mesh, pytest.mark.faults, pytest.mark.timeout(600)]

ADDRESSES = {"first": "203.0.113.10", "second": "203.0.113.11", "third": "203.0.113.12", "site": "203.0.113.20"}
FOUND = "suan node init pilot --advertise 203.0.113.10\nsuan node run pilot"
CONTEXT = "export SUANMESH_CONFIG=pilot/config.toml\n"
LET_IN = """suan party create sunrise --kind compute-provider --currency CNY
suan account create sunrise --party sunrise --currency CNY
suan account credit sunrise 100
suan price set guiyang --party sunrise --currency CNY cpu=0.165/core-h memory=0.0165/GiB-h
suan site invite sunrise > guiyang.invite
suan user invite sunrise/eve > eve.invite
"""
SPENT_MAX = 1_000_000
"""What the job may have cost, in millionths."""
JOIN = """suan site join - guiyang --advertise 203.0.113.20 --price-book guiyang < guiyang.invite
suan site run guiyang
"""
SUBMIT = """suan login - < eve.invite
until [ $(suan pool search -o name 'free.cpu_milli > 0' | wc -l) = 1 ]; do sleep 1; done
cat > job.yaml <<'END'
account: sunrise
cpu: 0.1
memory: 64Mi
runtime: python3
secrets: {word: {env: word}}
command: [sh, -c, "echo begun; sleep 20; echo word ${#word}"]
max_duration: 10m
END
word=abracadabra suan job submit job.yaml --id long
until suan job logs long | grep begun; do sleep 1; done
"""


KNOW = """find .config -name gateways -exec touch -d yesterday {} +
until grep -r 203.0.113.11:7443 .config && grep -r 203.0.113.11:7443 guiyang/identity; do suan site list; sleep 1; done
"""
"""A user and a site get to know the gateway that came."""


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[dict[str, Machine], str]]:
    """Three machines for the node and one of a site's, and an empty database that all reach."""
    binaries = postgres.binaries()
    if binaries is None:
        pytest.skip(postgres.ABSENT)
    try:
        etcd(cache_dir())  # from here on nothing outside is reached
    except ToolMissing as fault:
        pytest.skip(f"etcd is not to be had here: {fault}")
    try:
        with postgres.running(binaries) as server, machines(tmp_path, ADDRESSES) as made:
            yield made, server.new_database()
    except NoNamespaces as fault:
        pytest.skip(f"network namespaces cannot be made here: {fault}")


def test_a_node_of_one_machine_comes_to_be_on_three(places: tuple[dict[str, Machine], str]) -> None:
    """Whoever began with one machine must not have to begin anew: parties, money, sites and what runs stay, and the
    node then outlives the machine that it was founded on."""
    made, database = places
    first, second, third, site = (made[name] for name in ADDRESSES)
    grow, further = (CONTEXT + block for block in blocks("several-machines.md")[7:9])
    _, join, join_third, *_ = blocks("several-machines.md")

    type_and_leave(first, FOUND, "suan node run", "ready:")
    alone = first.type("suan node add-machine pilot 203.0.113.11 || echo refused")
    assert "share a database" in alone, alone
    first.type(CONTEXT + LET_IN)
    carry(first, site, "guiyang.invite")
    carry(first, site, "eve.invite")
    type_and_leave(site, JOIN, "suan site run", "pool registered")
    site.type(SUBMIT)
    before = balance(first)

    said = first.type(grow.replace(SQL, f"'{database}'"))
    assert "takes in other machines" in said, said
    assert list((first.home / "pilot" / "services").glob("*/*.sqlite-moved")), said
    assert before - SPENT_MAX < balance(first) <= before
    ready(joined(first, second, join))
    first.type(further)
    ready(joined(first, third, join_third))
    first.type("until [ $(suan node list-machines pilot | grep -c 'etcd answers') = 3 ]; do sleep 1; done")
    second.type("until suan node check pilot | grep '203.0.113.12, as all of them know'; do sleep 1; done")
    site.type(KNOW)

    kill(first)
    ended = json.loads(site.type("suan job wait long --timeout 5m &> /dev/null; suan job show long -o json"))
    assert ended["state"] == "STATE_DONE", ended
    assert "word 11" in site.type("suan job logs long")
    assert before - SPENT_MAX < balance(second) <= before
    shutil.rmtree(first.home / "pilot")


def balance(machine: Machine) -> int:
    """What is in the account, in millionths."""
    told = json.loads(machine.type(CONTEXT + "suan account show sunrise -o json"))
    return int(told["balance_micros"])
