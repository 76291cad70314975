"""The page on installing a node, typed as it stands into machines of the test's own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from suanmesh_local.tools import ToolMissing, cache_dir, etcd
from tests.mesh.installs import built_wheel, install
from tests.mesh.machines import Machine, NoNamespaces, machines

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(600)]

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
ADDRESSES = {"node": "203.0.113.10", "guiyang": "203.0.113.20", "wuhu": "203.0.113.30", "user": "203.0.113.40"}
TYPED_AT = ["node", "node", "guiyang", "wuhu", "user", "user", "node"]
"""Where each block of the page is typed."""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Machine]]:
    """Four machines, each with what its part installs: the extras `server` and `agent`, and none."""
    try:
        monkeypatch.setenv("SUANMESH_ETCD", str(etcd(cache_dir()).path))  # from here on nothing outside is reached
    except ToolMissing as fault:
        pytest.skip(f"etcd is not to be had here: {fault}")
    try:
        with machines(tmp_path, ADDRESSES) as made:
            wheel = built_wheel(tmp_path)
            for name, extra in {"node": "server", "guiyang": "agent", "wuhu": "agent", "user": ""}.items():
                made[name].programs = install(tmp_path / f"installed-{name}", wheel, extra)
            yield made
    except NoNamespaces as fault:
        pytest.skip(f"network namespaces cannot be made here: {fault}")


def blocks(page: str) -> list[str]:
    """The commands of a page, block by block."""
    return re.findall(r"^```sh\n(.*?)^```", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL)


def test_both_languages_have_the_same_commands() -> None:
    """Whoever reads the other page must not end elsewhere."""
    assert blocks("install-a-node.md") == blocks("install-a-node.zh-CN.md")
    assert len(blocks("install-a-node.md")) == len(TYPED_AT)


def test_a_node_two_sites_and_a_user_on_four_machines(places: dict[str, Machine]) -> None:
    """An operator, two owners and a user who have nothing but the page must come to a first job and its bill."""
    found, let_in, join, join_too, login, job, leave = blocks("install-a-node.md")
    node, guiyang, wuhu, user = (places[name] for name in ADDRESSES)

    type_and_leave(node, found, "suan node run", "ready:")
    assert "parties/operator" in node.type("SUANMESH_CONFIG=pilot/config.toml suan party list -o name")
    node.type(let_in)
    carry(node, guiyang, "guiyang.invite")
    type_and_leave(guiyang, join, "suan site run", "pool registered")
    carry(node, wuhu, "wuhu.invite")
    type_and_leave(wuhu, join_too, "suan site run", "pool registered")
    carry(node, user, "bob.invite")
    assert "you are bob of parties/acme at node pilot" in user.type(login)
    user.type("until [ $(suan pool search -o name 'free.cpu_milli > 0' | wc -l) = 2 ]; do suan site list; done")
    printed = user.type(job)

    assert "jobs/first DONE" in printed
    assert "sum 500500" in printed
    assert re.search(r"^500500", printed, re.MULTILINE), printed
    assert re.search(r"transfer .*backbone", printed), printed
    assert re.search(r"cpu .*harbour", printed), printed
    assert re.search(r"^\s*total\s+0\.\d+ CNY", printed, re.MULTILINE), printed
    assert "SUSPENDED" in node.type(leave)
    assert "guiyang" in user.type("suan pool search -o name 'free.cpu_milli > 0'")
    look_after(node, guiyang)


def look_after(node: Machine, guiyang: Machine) -> None:
    """The pages on backups and on certificates, typed on the node that is there now."""
    context = "export SUANMESH_CONFIG=pilot/config.toml"
    for backup in blocks("back-up-a-node.md"):
        node.type(backup)
    lasting, revoked, again, joined, rotated = (f"{context}\n{block}" for block in blocks("certificates.md"))
    assert "days" in node.type(lasting)
    assert "SUSPENDED" in node.type(revoked)
    node.type(again)
    carry(node, guiyang, "again.invite")
    guiyang.type(joined)
    node.type(f"{context}\nuntil suan pool search -o name 'free.cpu_milli > 0' | grep guiyang; do suan site list; done")
    assert "authority" in node.type(rotated)


def type_and_leave(machine: Machine, block: str, begins: str, ready: str) -> None:
    """Type a block whose last line stays in the foreground; go on once that prints `ready`."""
    *first, last = block.strip().splitlines()
    assert last.startswith(begins)
    machine.type("\n".join(first))
    said = []
    for line in machine.leave_running(last):
        said.append(line)
        if ready in line:
            return
    raise AssertionError("".join(said))


def carry(one: Machine, other: Machine, file: str) -> None:
    """Bring a file from one machine to another, as a person would send it."""
    shutil.copy(one.home / file, other.home / file)
