"""Which mesh is talked to, and as whom: contexts from files, overridden by the environment and by flags."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument

FIELDS = ("gateway", "node", "ca", "cert", "key", "account")
PATHS = ("ca", "cert", "key")


@dataclass(frozen=True, slots=True)
class Context:
    """One way to talk to one mesh."""

    name: str
    gateway: str = ""
    """`host:port`."""
    node: str = ""
    """Name of the node, which the gateway's certificate must carry."""
    ca: str = ""
    cert: str = ""
    key: str = ""
    account: str = ""
    """Account that bills are shown of when none is given; may stay empty."""
    origins: tuple[tuple[str, str], ...] = ()
    """Where each value came from."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the files say, the nearest file first."""

    contexts: Mapping[str, Context]
    current: str
    files: tuple[Path, ...]


def files(environment: Mapping[str, str], here: Path) -> list[Path]:
    """The files that count, nearest first; `SUANMESH_CONFIG` names the only one."""
    if environment.get("SUANMESH_CONFIG"):
        return [Path(environment["SUANMESH_CONFIG"])]
    home = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/")) / ".config")
    candidates = [
        here / "suanmesh.toml",
        here / "build" / "dev" / "config.toml",
        home / "suanmesh" / "config.toml",
        Path("/etc/xdg/suanmesh/config.toml"),
    ]
    return [path for path in candidates if path.is_file()]


def load(paths: list[Path]) -> Config:
    """Read the files; of two contexts with one name the nearer counts.

    Raises InvalidArgument (`FIELD_INVALID`) that names the file.
    """
    contexts: dict[str, Context] = {}
    current = ""
    for path in paths:
        table = _table(path)
        current = current or str(table.get("current", ""))
        declared = table.get("contexts", {})
        if not isinstance(declared, dict):
            raise _invalid(path, "contexts is not a table")
        for name, values in declared.items():
            contexts.setdefault(name, _context(path, name, values))
    return Config(contexts, current, tuple(paths))


def chosen(config: Config, environment: Mapping[str, str], name: str = "") -> Context:
    """The context to use: by flag, by `SUANMESH_CONTEXT`, or the file's current one; single values by `SUANMESH_*`.

    Raises FailedPrecondition (`CONTEXT_MISSING`) that says how to get one.
    """
    wanted = name or environment.get("SUANMESH_CONTEXT", "") or config.current
    if wanted and wanted not in config.contexts:
        known = ", ".join(config.contexts) or "none"
        raise FailedPrecondition("CONTEXT_MISSING", f"there is no context {wanted!r}; known: {known}", name=wanted)
    context = config.contexts.get(wanted) or Context(name="environment")
    for field in FIELDS:
        value = environment.get(f"SUANMESH_{field.upper()}")
        if value:
            origins = (*(pair for pair in context.origins if pair[0] != field), (field, f"SUANMESH_{field.upper()}"))
            context = replace(context, **{field: value}, origins=origins)
    missing = [field for field in ("gateway", "node", "ca") if not getattr(context, field)]
    if missing:
        raise FailedPrecondition(
            "CONTEXT_MISSING",
            f"it is not known which mesh to talk to: no {', '.join(missing)}; "
            "start one with `suan dev`, or set SUANMESH_CONFIG to a file with contexts",
        )
    return context


def _table(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise _invalid(path, f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(path, f"is not TOML: {error}") from error


def _context(path: Path, name: str, values: object) -> Context:
    if not isinstance(values, dict):
        raise _invalid(path, f"contexts.{name} is not a table")
    known: dict[str, str] = {}
    for field, value in values.items():
        if field not in FIELDS or not isinstance(value, str):
            raise _invalid(path, f"contexts.{name}.{field} is not one of {', '.join(FIELDS)} with a text as value")
        known[field] = str(path.parent / value) if field in PATHS else value
    return Context(name=name, origins=tuple((field, str(path)) for field in known), **known)


def _invalid(path: Path, problem: str) -> InvalidArgument:
    return InvalidArgument("FIELD_INVALID", f"{path} {problem}", field=str(path))
