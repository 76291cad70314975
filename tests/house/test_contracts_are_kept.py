"""What the contracts promise is what the code does: reasons, obstacles and methods."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

from suanmesh_kernel.refusals import BY_CODE
from suanmesh_sdk.advice import STATE_REASONS
from suanmesh_sdk.reasons import CHINESE

if TYPE_CHECKING:
    from conftest import Repository, Source

AREAS = ("registry", "scheduler", "network_orchestrator", "transport", "accounting", "agent", "gateway")
REFUSALS = frozenset(kind.__name__ for kind in BY_CODE.values())
NOT_OF_THE_WIRE = ("libs/cli/", "libs/etcd3/", "libs/chassis/suanmesh_chassis/probe.py")
"""Where refusals are for the terminal, are etcd's own, or are made up to test the chassis."""

OF_THE_STORE = re.compile(r"\b(etcd|lease_id|(?:create_|mod_)revision)\b", re.IGNORECASE)
"""What only libs/store and its client know: whoever calls over the wire may be of another node, with another store."""

LEADING_CODE = re.compile(r"""(?:StateReason|_failed|_of_transfer)\("([A-Z_]+)"|"([A-Z][A-Z_]{3,}): """)
"""How a state's reason is made, and how it was when it was a sentence."""


def test_every_reason_has_a_chinese_text_and_no_text_lacks_a_reason(repository: Repository) -> None:
    """A Chinese reader would get a bare code, or the docs would explain a reason nobody can meet."""
    assert {area: set(texts) for area, texts in CHINESE.items()} == _reasons(repository)


def test_every_state_says_why_in_chinese_too(repository: Repository) -> None:
    """A Chinese reader of `suan job list` would find a code that nothing explains."""
    sources = repository.under("services/scheduler/", "services/transport/", "services/agent/")
    said = {code for source in sources for pair in LEADING_CODE.findall(source.text) for code in pair if code}
    known = {*STATE_REASONS, *(reason for texts in CHINESE.values() for reason in texts)}

    assert len(said) > 20
    assert sorted(said - known) == []


@pytest.mark.parametrize("area", [*AREAS, "mesh"])
def test_every_reason_is_given_by_the_code(repository: Repository, area: str) -> None:
    """A caller would handle a refusal that never comes."""
    own = [] if area == "mesh" else [f"services/{area}/"]
    said = set(_strings(s for s in repository.under("libs/", *own) if s.path != "libs/sdk/suanmesh_sdk/reasons.py"))

    assert sorted(_reasons(repository)[area] - said) == []


def test_every_reason_that_is_given_is_in_the_contract(repository: Repository) -> None:
    """A caller would meet a reason that no contract, text or page knows."""
    unknown = [
        f"{source.path}:{line}: {reason}"
        for source in repository.under("libs/", "services/")
        if not source.path.startswith(NOT_OF_THE_WIRE)
        for line, reason in _given(source)
        if reason not in _allowed(source)
    ]

    assert not unknown


def test_every_obstacle_is_stated_by_the_code(repository: Repository) -> None:
    """The page on obstacles would explain one that no decision ever shows."""
    said = set(_strings(repository.under("services/scheduler/suanmesh_scheduler/domain/")))

    assert sorted(_obstacles(repository) - said) == []


def test_no_contract_names_what_its_data_is_kept_in(repository: Repository) -> None:
    """A caller that needs a lease or a revision of etcd can be of this node only, and of this version of it."""
    contracts = [s for s in repository.under("protos/", ending=".proto") if "/etcdwire/" not in s.path]
    told = [f"{s.path}: {found[0]}" for s in contracts for found in OF_THE_STORE.finditer(s.text)]

    assert len(contracts) > 30
    assert not told


def test_every_method_has_a_caller(repository: Repository) -> None:
    """A method that no test, no command and not the demo calls is a promise nobody keeps."""
    words = set(re.findall(r"\w+", " ".join(s.text for s in repository.under("tests/", "libs/cli/", "deploy/local/"))))
    contracts = repository.under("protos/", ending="_service.proto")
    methods = {m for s in contracts for m in re.findall(r"^  rpc (\w+)\(", s.text, re.MULTILINE)}

    assert methods
    assert sorted(methods - words) == []


def _reasons(repository: Repository) -> dict[str, set[str]]:
    found = {}
    for source in repository.under("protos/", ending="/reason.proto"):
        area = source.path.split("/")[2].replace("type", "mesh")
        found[area] = set(re.findall(r"  REASON_(\w+) = [1-9]", source.text))
    return found


def _obstacles(repository: Repository) -> set[str]:
    text = repository.text("protos/suanmesh/scheduler/v1/reason.proto")
    return set(re.findall(r"  OBSTACLE_CODE_(\w+) = [1-9]", text))


def _strings(sources: Iterable[Source]) -> Iterator[str]:
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def _given(source: Source) -> Iterator[tuple[int, str]]:
    """Lines where a refusal is built with a literal reason, and the reason."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSALS and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def _allowed(source: Source) -> set[str]:
    """An area's own reasons and those all share; stand-ins, and the agent in what it reports, speak for others too."""
    folders = source.path.split("/")
    speaks_for_itself = folders[0] == "services" and folders[1] != "agent" and source.name != "testing"
    areas = [folders[1], "mesh"] if speaks_for_itself else list(CHINESE)
    return {reason for area in areas for reason in CHINESE[area]}
