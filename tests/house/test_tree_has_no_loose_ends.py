"""Every package is under the linter, every module has a caller, every setting a reader, every promise a reason."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Repository, Source

PROMISES = ("tests/contract/", "tests/mesh/", "tests/scenario/", "tests/service/", "tests/house/")
LOADED_OTHERWISE = frozenset(("main",))
"""Modules started as programs."""


def test_every_package_is_under_the_import_linter(repository: Repository) -> None:
    """A package the linter does not know may import anything."""
    linter = tomllib.loads(repository.text("pyproject.toml"))["tool"]["importlinter"]
    packages = {p.parent.name for p in repository.root.glob("*/*/suanmesh_*/__init__.py")} | {"suanmesh"}

    assert set(linter["root_packages"]) == packages


def test_every_service_has_its_layers(repository: Repository) -> None:
    """A service without exhaustive layers grows a file nobody placed."""
    linter = tomllib.loads(repository.text("pyproject.toml"))["tool"]["importlinter"]
    layered = {c for contract in linter["contracts"] if contract.get("exhaustive") for c in contract["containers"]}

    assert layered == {p.parent.name for p in repository.root.glob("services/*/suanmesh_*/__init__.py")}


def test_every_module_has_a_caller(repository: Repository) -> None:
    """Code nobody calls is read, changed and kept true for nothing."""
    imported = {name for source in repository.python for name in _imports(source)}
    lazily = repository.text("libs/cli/suanmesh_cli/main.py") + repository.text("Makefile")
    loose = [
        source.path
        for source in repository.product
        if source.name not in LOADED_OTHERWISE
        and (module := _module(source)) not in imported
        and module not in lazily
        and source.name != "__init__"
    ]

    assert loose == []


def test_every_file_in_deploy_is_started_or_checked(repository: Repository) -> None:
    """A deployment file that nothing starts has been wrong since it was written."""
    readers = [s.text for s in repository.under("tests/", "deploy/", "libs/cli/")] + [repository.text("Makefile")]
    loose = [
        s.path
        for s in repository.sources
        if s.path.startswith("deploy/")
        and s.name not in ("__init__", "py", "README")
        and not any(re.search(rf"\b{re.escape(s.name)}\b", text) for text in readers if text is not s.text)
    ]

    assert loose == []


def test_every_measurement_finds_what_it_measures(repository: Repository) -> None:
    """Nobody runs a measurement until somebody doubts a figure, and then it has been broken for months."""
    gone = [
        f"{source.path}: {node.module}.{name.name}"
        for source in repository.under("bench/")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("suanmesh")
        for name in node.names
        if not _is_there(node.module, name.name)
    ]

    assert gone == []


def test_every_setting_is_explained_and_read(repository: Repository) -> None:
    """An operator would turn a knob that is not connected, or not know what it does."""
    wrong = []
    for source in repository.product:
        if source.name != "settings":
            continue
        folder = str(Path(source.path).parent)
        readers = " ".join(s.text for s in repository.product if s.path.startswith(("libs/chassis/", folder)))
        for name, explained in _settings(source):
            if not explained or f".{name}" not in readers:
                wrong.append(f"{source.path}: {name}")

    assert wrong == []


@pytest.mark.parametrize("folder", PROMISES)
def test_every_promise_says_who_is_hurt(repository: Repository, folder: str) -> None:
    """A test without its reason is deleted by the first person it stops."""
    bare = [
        f"{source.path}:{node.lineno} {node.name}"
        for source in repository.under(folder)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert bare == []


def test_every_part_says_what_it_is(repository: Repository) -> None:
    """Whoever opens a folder must see in one paragraph whether it is the one they look for."""
    parts = [p for area in ("libs", "services") for p in (repository.root / area).iterdir() if p.is_dir()]

    assert sorted(p.name for p in parts if not (p / "README.md").is_file()) == []


def _module(source: Source) -> str:
    parts = Path(source.path).with_suffix("").parts
    start = next(i for i, part in enumerate(parts) if part.startswith("suanmesh_"))
    return ".".join(parts[start:])


def _imports(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _settings(source: Source) -> Iterator[tuple[str, bool]]:
    """Fields of the settings classes, and whether a docstring follows each."""
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef):
            for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield field.target.id, isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)


def _is_there(module: str, name: str) -> bool:
    found = importlib.import_module(module)
    is_package = hasattr(found, "__path__")
    return hasattr(found, name) or (is_package and importlib.util.find_spec(f"{module}.{name}") is not None)
