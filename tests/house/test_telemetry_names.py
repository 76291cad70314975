"""Telemetry speaks one language: what names.py lists is used, and nothing else is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from suanmesh_telemetry import names

if TYPE_CHECKING:
    from conftest import Repository, Source

NAMES_FILE = "libs/telemetry/suanmesh_telemetry/names.py"
LOG_METHODS = frozenset(("debug", "info", "warning", "error", "exception"))
SPAN_CALLS = frozenset(("span", "begin_span", "set"))
SET_BY_STRUCTLOG = frozenset(("event", "level", "time", "exception"))


def test_every_name_is_used(repository: Repository) -> None:
    """A dashboard built on a name that nothing emits stays empty without saying why."""
    constants = {key for key, value in vars(names).items() if key.isupper() and isinstance(value, str)}
    used = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for source in repository.product
        if source.path != NAMES_FILE
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute | ast.Name)
    }

    assert sorted(constants - used) == []


def test_every_attribute_of_ours_is_set_somewhere(repository: Repository) -> None:
    """A query for an attribute that no span carries finds nothing, whatever happened."""
    keywords = {key for s in repository.product for key in _keywords(s, SPAN_CALLS)}
    written = {value for s in repository.product if s.path != NAMES_FILE for value in _strings(s)}
    by_constant = {value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)}
    unused = {
        name
        for name in names.ATTRIBUTES
        if name.removeprefix("suanmesh.") not in keywords and name not in written | by_constant
    }

    assert not unused


def test_spans_carry_only_listed_attributes(repository: Repository) -> None:
    """The same fact under two names cannot be searched for."""
    listed = {name.removeprefix("suanmesh.") for name in names.ATTRIBUTES} | {"parent"}
    unknown = {
        f"{s.path}: {key}"
        for s in repository.product
        for key in _keywords(s, frozenset(("span",)))
        if key not in listed
    }

    assert not unknown


def test_log_keys_are_listed_and_used(repository: Repository) -> None:
    """Whoever searches the logs for a job would have to know three spellings of the word."""
    written = {key: s.path for s in repository.product for key in _log_keys(s)}
    automatic = {value for s in repository.under("libs/telemetry/", "libs/chassis/") for value in _strings(s)}

    assert not {f"{path}: {key}" for key, path in written.items() if key not in names.LOG_KEYS}
    assert not set(names.LOG_KEYS) - set(written) - automatic - SET_BY_STRUCTLOG


def test_log_events_are_constant_phrases(repository: Repository) -> None:
    """A phrase with a name in it cannot be counted."""
    built = [
        f"{s.path}:{call.lineno}"
        for s in repository.product
        for call in _log_calls(s)
        if call.args and not isinstance(call.args[0], ast.Constant)
    ]

    assert not built


def _log_calls(source: Source) -> Iterator[ast.Call]:
    for node in ast.walk(source.tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LOG_METHODS
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "log"
        ):
            yield node


def _log_keys(source: Source) -> Iterator[str]:
    for call in _log_calls(source):
        for keyword in call.keywords:
            if keyword.arg and keyword.arg != "exc_info":
                yield keyword.arg


def _keywords(source: Source, functions: frozenset[str]) -> Iterator[str]:
    """Keywords given to any call of `functions`."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in functions:
                yield from (keyword.arg for keyword in node.keywords if keyword.arg)


def _strings(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
