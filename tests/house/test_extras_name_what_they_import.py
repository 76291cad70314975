"""What a user, a site and a node install is what their modules import: no traceback after, and nothing for nobody."""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from suanmesh_kernel.extras import MARKS

if TYPE_CHECKING:
    from conftest import Repository, Source

DISTRIBUTIONS = {
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "opentelemetry": "opentelemetry-api",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.proto": "opentelemetry-proto",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "pynvml": "nvidia-ml-py",
    "yaml": "pyyaml",
}
"""Who ships a module that is not called like its distribution."""
BY_NAME = {"psycopg"}
"""Imported by the URL of a database."""
ENGINES = ("kubernetes", "ray")
"""Extras of engines that few sites have: what they bring is imported where one is chosen."""
ASKED_FOR = {"suanmesh_agent", "suanmesh_fake", "suanmesh_local"}
"""What `suan` imports only in commands that say which extra is missing."""
PARTS = {
    "": ("suanmesh_cli", "suanmesh_client", "suanmesh_sdk"),
    "agent": ("suanmesh_agent",),
    "server": (
        "suanmesh_accounting", "suanmesh_fake", "suanmesh_gateway", "suanmesh_local", "suanmesh_network_orchestrator",
        "suanmesh_registry", "suanmesh_scheduler", "suanmesh_transport",
    ),
}  # fmt: skip


@pytest.mark.parametrize("extra", PARTS)
def test_an_extra_brings_what_its_modules_import(repository: Repository, extra: str) -> None:
    """Whoever installs a part as the documentation says would meet a ModuleNotFoundError amid their work."""
    modules = _ours(repository)
    reached = _reached(modules, [name for name in modules if name.partition(".")[0] in PARTS[extra]])
    imported = {_distribution(name) for module in reached for name in _foreign(modules[module])}

    assert len(reached) > 50
    brought = _declared(repository, extra).union(*(_declared(repository, engine) for engine in ENGINES))
    assert sorted(imported - brought - {"suanmesh"}) == []


def test_nothing_is_installed_for_nobody(repository: Repository) -> None:
    """Every package is time and disk of each user, and somebody else's defects."""
    everything = {_distribution(name) for source in _ours(repository).values() for name in _foreign(source)}

    assert sorted(_declared(repository, "server") - everything - BY_NAME) == []


def test_a_site_has_no_database(repository: Repository) -> None:
    """An agent runs on other people's machines: what only a node needs does not come there."""
    assert not {"sqlalchemy", "psycopg", "numpy"} & _declared(repository, "agent")


def test_the_marks_of_the_extras_are_theirs(repository: Repository) -> None:
    """What tells that an extra is installed is brought by it, and by no smaller one."""
    assert MARKS["agent"] in _declared(repository, "agent") - _declared(repository, "")
    assert MARKS["server"] in _declared(repository, "server") - _declared(repository, "agent")


def _declared(repository: Repository, extra: str) -> set[str]:
    project = tomllib.loads(repository.text("pyproject.toml"))["project"]
    wanted = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    found: set[str] = set()
    for line in wanted:
        name, other = re.fullmatch(r"([A-Za-z0-9_-]+)(?:\[(\w+)\])?.*", line).groups()
        found |= _declared(repository, other) if name == "suanmesh" else {name.lower().replace("_", "-")}
    return found


def _ours(repository: Repository) -> dict[str, Source]:
    found = {}
    for source in repository.product:
        parts = Path(source.path).with_suffix("").parts
        at = next((n for n, part in enumerate(parts) if part.startswith("suanmesh")), None)
        if at is not None:
            found[".".join(parts[at:]).removesuffix(".__init__")] = source
    return found


def _reached(modules: dict[str, Source], starts: list[str]) -> set[str]:
    """Every module of ours that is imported from these, with the packages around them."""
    reached, ahead = set(), list(starts)
    while ahead:
        name = ahead.pop()
        if name not in reached and name in modules:
            reached.add(name)
            ahead += [name.rpartition(".")[0], *_imports(modules[name])]
            if name.partition(".")[0] not in ASKED_FOR:
                ahead = [each for each in ahead if each.partition(".")[0] not in ASKED_FOR or each in starts]
    return reached


def _foreign(source: Source) -> Iterator[str]:
    for name in _imports(source):
        if name and name.partition(".")[0] not in sys.stdlib_module_names | {"__future__"}:
            yield name


@functools.cache
def _imports(source: Source) -> list[str]:
    """Every module imported, and what of it may be one."""
    tree, found = source.tree, []
    unseen = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    skipped = {id(each) for node in unseen for each in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _distribution(name: str) -> str:
    if name.partition(".")[0].startswith("suanmesh"):
        return "suanmesh"
    known = [module for module in DISTRIBUTIONS if f"{name}.".startswith(f"{module}.")]
    return DISTRIBUTIONS[max(known, key=len)] if known else name.partition(".")[0].lower().replace("_", "-")
