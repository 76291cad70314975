"""What the pages say is typed: the tutorials of all roles, every how-to and the READMEs of services, on one node."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.mesh.test_readme_by_hand import BIN, COMMAND_S_MAX, ROOT, running

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(900)]
BLOCK_S_MAX = 4 * COMMAND_S_MAX
ELSEWHERE = {
    "docs/tutorials/working-day": "test_a_day",
    "docs/how-to/install-a-node": "test_a_node_is_installed",
    "docs/how-to/back-up-a-node": "test_a_node_is_installed",
    "docs/how-to/certificates": "test_a_node_is_installed",
    "docs/how-to/several-machines": "test_a_machine_dies",
    "docs/how-to/ray-site": "test_a_ray_site",
}
"""Pages that have a test of their own, and which."""
SLEEPS = """
account: demo
constraints: {allow_sites: [sites/guiyang, sites/wuhu]}
labels: {team: vision}
max_duration_s: 120
ask: {cpu_milli: 200, memory_bytes: 64MiB}
package: {variants: [{runtime: python3, command: [python3, -c, "import time; time.sleep(SECONDS)"]}]}
"""


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[Shell]:
    """A terminal on a node of its own."""
    with running(tmp_path):
        yield Shell(tmp_path / "dev" / "config.toml", tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A terminal on a node for the bill of all that ran, and after that for sites that are drained and removed."""
    folder = tmp_path_factory.mktemp("shared")
    with running(folder):
        yield Shell(folder / "dev" / "config.toml", folder)


class Shell:
    """A terminal on a node with one job behind it."""

    def __init__(self, config: Path, folder: Path) -> None:
        self.folder = folder
        self._environment = {"SUANMESH_CONFIG": str(config), "PATH": f"{BIN}{os.pathsep}{os.defpath}"}
        self._environment |= {"LANG": "C.UTF-8", "COLUMNS": "200", "HOME": str(folder)}

    def __call__(self, command: str, *, status: int = 0, bound_s: float = COMMAND_S_MAX) -> str:
        """What a command prints; it ends with `status`."""
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=ROOT, env=self._environment, capture_output=True, text=True,
            timeout=bound_s, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/sh", "-c", command], cwd=ROOT, env=self._environment, stderr=subprocess.PIPE, text=True
        )

    def submit(self, job_id: str, seconds: int, more: str = "") -> None:
        path = self.folder / f"{job_id}.yaml"
        path.write_text(SLEEPS.replace("SECONDS", str(seconds)))
        self(f"suan job submit {path} --id {job_id} {more}")


def test_the_pages_work_as_they_are_written(typed: Shell) -> None:
    """Whoever begins in a role types what its page says; a command that fails there ends the first day."""
    (ROOT / "build").mkdir(exist_ok=True)
    typed("suan job submit examples/digits/job.yaml --id digits --wait")
    pages = _pages()
    assert pages
    for page in pages:
        english, chinese = (ROOT / f"{page}{suffix}.md" for suffix in ("", ".zh-CN"))
        blocks = _blocks(english)
        assert not chinese.exists() or blocks == _blocks(chinese), f"{page} says other things in Chinese"
        for block in blocks:
            typed(f"set -e\n{block}", bound_s=BLOCK_S_MAX)


def test_a_bill_is_recomputed_from_what_was_exported(shared: Shell) -> None:
    """Finance adds up the lines by itself, by any column; each must come to the same micro."""
    shared.submit("sleeps", 1, "--wait")
    shared("suan job submit examples/digits/job.yaml --id digits --wait")
    *lines, foot = _csv(shared("suan bill show --from 1d -o csv"))
    total = sum(Decimal(line["amount"]) for line in lines)
    assert Decimal(foot["amount"]) == total > 0
    assert all(line["when"].endswith("Z") for line in lines)
    for by in ("job", "day", "site", "meter", "label:team"):
        *sums, end = _csv(shared(f"suan bill show --from 1d --by {by} -o csv"))
        assert sum(Decimal(row["amount"]) for row in sums) == Decimal(end["amount"]) == total
        key = by.partition(":")[0]
        if key in ("job", "meter"):
            mine = {row[key]: Decimal(row["amount"]) for row in sums}
            assert mine == {
                value: sum(Decimal(line["amount"]) for line in lines if line[key] == value)
                for value in {line[key] for line in lines}
            }
        if by == "label:team":
            assert {row["label"]: row["jobs"] for row in sums} == {"vision": "1", "": "1"}
    assert Decimal(_csv(shared("suan bill show --to 2000-01-01 -o csv"))[-1]["amount"]) == 0


def test_a_site_is_drained_in_mid_run_and_nothing_is_lost(shared: Shell) -> None:
    """An owner who takes a machine away at noon must not take the morning's work with it."""
    shared("suan --context operator site cordon wuhu")
    for number in range(3):
        shared.submit(f"runs-{number}", 12)
    for number in range(3):
        _until(shared, f"suan job show runs-{number} --query state -o name", "STATE_RUNNING")
    owned = _csv(shared("suan --context operator site jobs guiyang -o csv"))
    assert {(row["job"], row["party"]) for row in owned} == {(f"runs-{number}", "demo") for number in range(3)}
    shared("suan --context operator site uncordon wuhu")
    drain = shared.start("suan --context operator site drain guiyang --note 'new fans'")
    _until(shared, "suan site show guiyang --query admission -o name", "ADMISSION_DRAINING")
    shared.submit("comes-later", 1, "--wait")
    why = shared("suan job explain comes-later")
    assert "SITE_CORDONED" in why
    assert "new fans" in why
    _, told = drain.communicate(timeout=COMMAND_S_MAX)
    assert (drain.returncode, told.splitlines()[-1]) == (0, "sites/guiyang: 0 left")
    for number in range(3):
        assert shared(f"suan job show runs-{number} --query '[state, attempt]' -o json").split() == [
            "[", '"STATE_DONE",', "1", "]",
        ]  # fmt: skip
    assert len(shared("suan --context operator site jobs guiyang -o name")) == 0
    shared("suan --context operator site remove guiyang --yes")
    refused = shared("suan --context operator site uncordon guiyang 2>&1", status=5)
    assert "SITE_REMOVED" in refused
    shared("suan --context operator site remove wuhu --yes", status=5)


def _until(typed: Shell, command: str, wanted: str) -> None:
    """Ask until it says so; every ask takes a process, and that is the pause."""
    for _ in range(60):
        if typed(command).strip() == wanted:
            return
    pytest.fail(f"{command} has not come to {wanted}")


def _csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _pages() -> list[str]:
    """Every page with commands, from the root and without its ending; each leaves the node as the others need it."""
    paths = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("services/*/README.md")]
    found = sorted(path.relative_to(ROOT).as_posix() for path in paths if _blocks(path))
    named = [page.removesuffix(".md") for page in found if not page.endswith(".zh-CN.md")]
    return [page for page in named if page not in ELSEWHERE]


def _blocks(page: Path) -> list[str]:
    """The blocks of commands of a page, in their order."""
    return re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
