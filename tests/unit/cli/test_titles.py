"""Every title has its Chinese."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import suanmesh_cli
from suanmesh_cli.titles import CHINESE

FACT = re.compile(r"_facts$")


def test_every_title_and_fact_is_translated() -> None:
    """Whoever reads only Chinese does not guess what PROBED RTT is."""
    missing = set()
    for path in Path(suanmesh_cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Column":
                missing |= {title for title in texts_of(node.args[:1]) if title not in CHINESE}
            if isinstance(node, ast.FunctionDef) and FACT.search(node.name):
                pairs = [each for each in ast.walk(node) if isinstance(each, ast.Tuple) and len(each.elts) == 2]
                missing |= {
                    name for pair in pairs for name in texts_of(pair.elts[:1]) if name.upper() not in CHINESE and name
                }
    assert missing - {""} == set()


def texts_of(nodes: list[ast.expr]) -> list[str]:
    """The literal texts among `nodes`."""
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
