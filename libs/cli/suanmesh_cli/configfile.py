"""Writing contexts into a file that people write too: their comments and their order stay."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suanmesh_cli.texts import refusal
from suanmesh_kernel.refusals import AlreadyExists, FailedPrecondition
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def use(path: Path, name: str) -> None:
    """Make `name` the current context of the file at `path`."""
    document = _read(path)
    if "current" in document:
        document["current"] = name
    else:
        document = _with_current(document, name)
    _write(path, document)


def add(path: Path, name: str, values: Mapping[str, str]) -> None:
    """Add a context. Raises AlreadyExists (`CONTEXT_EXISTS`)."""
    import tomlkit

    document = _read(path)
    contexts: Any = document.setdefault("contexts", tomlkit.table(is_super_table=True))
    if name in contexts:
        there = Text(f"there is a context {name!r} in {path}", f"{path} 中已有上下文 {name!r}")
        raise refusal(AlreadyExists, "CONTEXT_EXISTS", there, name=name)
    added = tomlkit.table()
    for field, value in values.items():
        added.add(field, value)
    contexts.add(name, added)
    if "current" not in document:
        document = _with_current(document, name)
    _write(path, document)


def remove(path: Path, name: str) -> None:
    """Remove a context. Raises FailedPrecondition (`CONTEXT_IN_USE`) where it is the file's current one."""
    document = _read(path)
    if document.get("current") == name:
        used = Text(f"{name!r} is the current context of {path}", f"{name!r} 是 {path} 的当前上下文")
        raise refusal(FailedPrecondition, "CONTEXT_IN_USE", used, name=name)
    contexts: Any = document["contexts"]
    del contexts[name]
    _write(path, document)


def _with_current(document: TOMLDocument, name: str) -> TOMLDocument:
    """`document` with the key, which must stand before the first table."""
    import tomlkit

    return tomlkit.parse(f"current = {tomlkit.item(name).as_string()}\n" + tomlkit.dumps(document))


def _read(path: Path) -> TOMLDocument:
    """What stands there, which `contexts.load` has found to be TOML."""
    import tomlkit

    return tomlkit.parse(path.read_text()) if path.exists() else tomlkit.document()


def _write(path: Path, document: TOMLDocument) -> None:
    """All or nothing: the contexts of a file that was half written are lost."""
    import tomlkit

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(tomlkit.dumps(document))
    partial.replace(path)
