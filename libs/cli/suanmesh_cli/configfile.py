"""Writing contexts into a file that people write too: their comments and their order stay.

Who writes holds a lock on the file's folder, so that of two that write at once neither undoes what the other did.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suanmesh_cli.texts import refusal
from suanmesh_kernel.private import write_private
from suanmesh_kernel.refusals import AlreadyExists, FailedPrecondition
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def use(path: Path, name: str) -> None:
    """Make `name` the current context of the file at `path`. Raises FailedPrecondition (`CONTEXT_FILE_SHUT`)."""

    def used(document: TOMLDocument) -> TOMLDocument:
        if "current" not in document:
            return _with_current(document, name)
        document["current"] = name
        return document

    _change(path, used)


def add(path: Path, name: str, values: Mapping[str, str]) -> None:
    """Add a context. Raises AlreadyExists (`CONTEXT_EXISTS`), and as `use` does."""
    import tomlkit

    def added(document: TOMLDocument) -> TOMLDocument:
        contexts: Any = document.setdefault("contexts", tomlkit.table(is_super_table=True))
        if name in contexts:
            there = Text(f"there is a context {name!r} in {path}", f"{path} 中已有上下文 {name!r}")
            raise refusal(AlreadyExists, "CONTEXT_EXISTS", there, name=name)
        table = tomlkit.table()
        for field, value in values.items():
            table.add(field, value)
        contexts.add(name, table)
        return document if "current" in document else _with_current(document, name)

    _change(path, added)


def remove(path: Path, name: str) -> None:
    """Remove a context. Raises FailedPrecondition (`CONTEXT_IN_USE`) of the file's current one, and as `use` does."""

    def removed(document: TOMLDocument) -> TOMLDocument:
        if document.get("current") == name:
            used = Text(f"{name!r} is the current context of {path}", f"{name!r} 是 {path} 的当前上下文")
            raise refusal(FailedPrecondition, "CONTEXT_IN_USE", used, name=name)
        contexts: Any = document["contexts"]
        contexts.pop(name, None)
        return document

    _change(path, removed)


def _with_current(document: TOMLDocument, name: str) -> TOMLDocument:
    """`document` with the key, which must stand before the first table."""
    import tomlkit

    return tomlkit.parse(f"current = {tomlkit.item(name).as_string()}\n" + tomlkit.dumps(document))


def _change(path: Path, change: Callable[[TOMLDocument], TOMLDocument]) -> None:
    """Put what `change` makes of the file in its place: all or nothing, where a link leads, under the mode it has."""
    import tomlkit

    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is no file")
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            document = tomlkit.parse(path.read_text()) if path.exists() else tomlkit.document()
            partial = path.with_name(f".{path.name}.new")
            write_private(partial, tomlkit.dumps(change(document)).encode())
            if path.exists():
                partial.chmod(path.stat().st_mode & 0o777)
            partial.replace(path)
        finally:
            os.close(folder)
    except OSError as fault:
        shut = Text(f"{path} cannot be written: {fault.strerror}", f"{path} 无法写入：{fault.strerror}")
        raise refusal(FailedPrecondition, "CONTEXT_FILE_SHUT", shut, name=str(path)) from fault
