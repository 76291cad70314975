"""Every example runs as it stands, against a living node and with the context that `suan` would use."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from suanmesh_local.node import Node

pytestmark = pytest.mark.mesh

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ELSEWHERE = {"recompute_bill.py", "test_with_a_fake_mesh.py"}
"""Run by tests of their own."""


async def run(node: Node, *command: str) -> str:
    """What the program prints. It must end well and complain of nothing."""
    environment = {**os.environ, "SUANMESH_CONFIG": str(node.folder / "config.toml"), "PYTHONWARNINGS": "error"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    told, complaints = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, complaints.decode()) == (0, "")
    return told.decode()


async def test_the_sweep_names_the_best(node: Node) -> None:
    """What it says is what can be reckoned by hand."""
    told = await run(node, str(EXAMPLES / "sweep.py"))
    assert json.loads(told.rpartition("best: ")[2]) == {"rate": 0.03, "depth": 4, "loss": 0.025}

    report = await run(node, str(EXAMPLES / "bill_report.py"), "example")
    rows = {row["example"]: Decimal(row["amount"]) for row in csv.DictReader(io.StringIO(report))}
    assert rows.keys() >= {"sweep"}
    assert rows["sweep"] >= 0


async def test_words_are_counted_where_the_data_lies(node: Node, tmp_path: Path) -> None:
    """The folder of a person is the input, and the answer is printed here."""
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a").write_text("mesh of meshes, mesh of compute\n" * 3)
    told = await run(node, str(EXAMPLES / "data_in_and_out.py"), str(tmp_path / "words"))
    assert told.splitlines()[1:3] in (["6 mesh", "6 of"], ["6 of", "6 mesh"])


async def test_sites_are_watched(node: Node) -> None:
    """Every pool of the node is told of once."""
    told = await run(node, str(EXAMPLES / "watch_sites.py"), "3")
    assert {line.partition("/pools/")[0] for line in told.splitlines()} == {
        f"sites/{place.site}" for place in node.places
    }


async def test_the_notebook_runs_from_top_to_bottom(node: Node, tmp_path: Path) -> None:
    """A notebook has a loop of its own already."""
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    program = f"import asyncio\nasync def cells():\n    exec({code!r}, scope)\nscope = {{}}\nasyncio.run(cells())\n"
    (tmp_path / "cells.py").write_text(program + "print(scope['rows'])\n")
    assert await run(node, str(tmp_path / "cells.py")) == f"{[(n, n * n) for n in range(5)]}\n"


@pytest.mark.parametrize("lang", ["", ".zh-CN"])
@pytest.mark.parametrize(("page", "printed"), [("sdk", "42\n"), ("data", "datasets/by-a-program 0\n")])
async def test_the_blocks_of_the_page_run(node: Node, tmp_path: Path, page: str, printed: str, lang: str) -> None:
    """What is shown is what is typed first."""
    (tmp_path / "blocks.py").write_text("\n".join(BLOCK.findall((DOCS / "how-to" / f"{page}{lang}.md").read_text())))
    assert await run(node, str(tmp_path / "blocks.py")) == printed


def test_every_example_is_run_somewhere() -> None:
    """An example that nothing runs has been wrong since the last change."""
    tests = Path(__file__).read_text()
    assert [each.name for each in EXAMPLES.glob("*.*") if each.name not in ELSEWHERE and each.name not in tests] == []
