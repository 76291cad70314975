"""Names in the contracts that collide with what other languages generate beside them."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.descriptor import Descriptor, FileDescriptor

if TYPE_CHECKING:
    from conftest import Repository

ROOT = Path(__file__).resolve().parents[2]
TAKEN = frozenset(
    {
        "all_fields", "arena", "byte_size_long", "cached_size", "class_data", "clear", "constructor",
        "copy_from", "default_instance", "default_instance_for_type", "descriptor", "descriptor_for_type",
        "full_name", "initialization_error_string", "internal_metadata", "is_initialized", "merge_from", "metadata",
        "new", "parser", "parser_for_type", "prototype", "reflection", "serialized_size", "swap", "to_builder",
        "to_string", "type_name", "unknown_fields",
    }
)  # fmt: skip
"""Members of every message that protoc generates for C++, Java, C# or TypeScript, in the form of a field's name.

`class` is not among them: each of the generators writes it another way.
"""


def test_no_field_is_named_like_what_every_message_has() -> None:
    """Whoever generates our contracts for C++ or Java would get code that does not compile."""
    messages = [message for file in _files() for message in _within(file.message_types_by_name.values())]
    names = [f"{message.full_name}.{name}" for message in messages for name in message.fields_by_name]

    assert len(names) > 500
    assert [name for name in names if name.rpartition(".")[2] in TAKEN] == []


def test_no_two_fields_get_one_name_elsewhere() -> None:
    """`rate_bps` and `rateBps`, or `key` and `has_key`, are one method in Java and one word in JSON."""
    for file in _files():
        for message in _within(file.message_types_by_name.values()):
            words = [field.json_name.lower() for field in message.fields]
            assert len(set(words)) == len(words), message.full_name
            plain = set(message.fields_by_name)
            accessors = {prefix + name for name in plain for prefix in ("has_", "clear_", "set_")}
            assert not plain & accessors, message.full_name


def test_every_landing_compiles_them(repository: Repository) -> None:
    """`make check-elsewhere` leaves out a language whose tools are missing; where landings are tested none may be."""
    installed = set(re.findall(r'^  "(\S+) ', repository.text(".ci/run"), re.MULTILINE))
    told = [node.value for node in ast.parse(repository.text("protos/make_sdk.py")).body if _assigns(node, "NEEDED")]
    needed = {ast.literal_eval(key) for each in told[0].values for key in each.keys}

    assert len(needed) > 10
    assert needed - {"g++", "npm"} <= installed  # these two every machine has


def _assigns(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name


def _files() -> Iterator[FileDescriptor]:
    for path in sorted((ROOT / "protos").rglob("*.proto")):
        name = str(path.relative_to(ROOT / "protos")).removesuffix(".proto").replace("/", ".") + "_pb2"
        yield importlib.import_module(name).DESCRIPTOR


def _within(messages: object) -> Iterator[Descriptor]:
    for message in messages:  # type: ignore[attr-defined]
        yield message
        yield from _within(message.nested_types)
