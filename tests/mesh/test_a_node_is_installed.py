"""The page on installing a node, typed as it stands into three machines."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mesh.machines import Machine, NoNamespaces, machines

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(400)]

PAGES = Path(__file__).resolve().parents[2] / "docs" / "how-to"
ADDRESSES = {"node": "203.0.113.10", "site": "203.0.113.20", "user": "203.0.113.30"}
TYPED_AT = ["node", "node", "site", "user", "user"]
"""Where each block of the page is typed."""


@pytest.fixture
def places(tmp_path: Path) -> Iterator[dict[str, Machine]]:
    """Three machines."""
    try:
        with machines(tmp_path, ADDRESSES) as made:
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


def test_a_node_a_site_and_a_user_on_three_machines(places: dict[str, Machine]) -> None:
    """An operator, an owner and a user who have nothing but the page must come to a first job and its bill."""
    found, invite, join, login, job = blocks("install-a-node.md")
    node, site, user = places["node"], places["site"], places["user"]

    type_and_leave(node, found, "suan node run", "ready:")
    node.type(invite)
    carry(node, site, "site.invite")
    type_and_leave(site, join, "suan site run", "pool registered")
    carry(node, user, "bob.invite")
    assert "you are bob of parties/acme at node pilot" in user.type(login)
    user.type("until suan pool search -o name 'free.cpu_milli > 0' | grep -q guiyang; do suan site list; done")
    printed = user.type(job)

    assert "jobs/first DONE" in printed
    assert "sum 500500" in printed
    assert re.search(r"^\s*total\s+0\.\d+ CNY", printed, re.MULTILINE), printed


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
