"""Which mesh is talked to, and as whom: contexts from files, overridden by the environment and by flags."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from suanmesh_client.texts import refusal
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument
from suanmesh_kernel.texts import Text

if TYPE_CHECKING:
    from suanmesh_sdk import Mesh

FIELDS = ("gateway", "node", "ca", "cert", "key", "account", "queue")
PATHS = {"ca": b"CERTIFICATE", "cert": b"CERTIFICATE", "key": b"PRIVATE KEY"}
"""What is a file, and what it has."""
PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Context:
    """One way to talk to one mesh."""

    name: str
    gateway: str = ""
    """`host:port`; of several, separated by commas, one that answers."""
    node: str = ""
    """Name of the node, which the gateway's certificate must carry."""
    ca: str = ""
    cert: str = ""
    key: str = ""
    account: str = ""
    """Account that bills are shown of, and that pays for a job, when none is given; may stay empty."""
    queue: str = ""
    """Queue that a job waits in when it names none; may stay empty."""
    origins: tuple[tuple[str, str], ...] = ()
    """Where each value came from."""

    def mesh(self) -> Mesh:
        """The mesh it names; nothing is sent before the first call. Raises as `require_usable` does."""
        from suanmesh_sdk import Tls, connect

        require_usable(self)
        return connect(self.gateway, tls=Tls(self.ca, self.cert or None, self.key or None), node=self.node)


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
    candidates = [
        here / "suanmesh.toml",
        here / "build" / "dev" / "config.toml",
        user_file(environment),
        Path("/etc/xdg/suanmesh/config.toml"),
    ]
    return [path for path in candidates if path.is_file()]


def load(paths: list[Path]) -> Config:
    """Read the files; of two contexts with one name the nearer counts.

    Raises InvalidArgument (`CONTEXT_INVALID`) that names the file.
    """
    contexts: dict[str, Context] = {}
    current = ""
    for path in paths:
        table = _table(path)
        current = current or str(table.get("current", ""))
        declared = table.get("contexts", {})
        if not isinstance(declared, dict):
            raise _invalid(path, _no_table("contexts"))
        for name, values in declared.items():
            contexts.setdefault(name, _context(path, name, values))
    return Config(contexts, current, tuple(paths))


def current_file(paths: Sequence[Path], environment: Mapping[str, str]) -> Path:
    """The file that `use` and `add` write: the nearest there is, else the one in the home folder."""
    return paths[0] if paths else user_file(environment)


def user_file(environment: Mapping[str, str]) -> Path:
    """The file of this user, or the only one that `SUANMESH_CONFIG` names."""
    if environment.get("SUANMESH_CONFIG"):
        return Path(environment["SUANMESH_CONFIG"])
    home = Path(environment.get("XDG_CONFIG_HOME") or Path(environment.get("HOME", "/")) / ".config")
    return home / "suanmesh" / "config.toml"


def current(environment: Mapping[str, str], name: str = "", here: Path | None = None) -> Context:
    """The context that `suan` would use in the folder `here`, or in the current one. Raises as `load` and `chosen`."""
    return chosen(load(files(environment, here or Path.cwd())), environment, name)


def chosen(config: Config, environment: Mapping[str, str], name: str = "") -> Context:
    """The context to use: by flag, by `SUANMESH_CONTEXT`, or the file's current one; single values by `SUANMESH_*`.

    Raises FailedPrecondition (`CONTEXT_MISSING`) that says how to get one.
    """
    wanted = name or environment.get("SUANMESH_CONTEXT", "") or config.current
    if wanted and wanted not in config.contexts:
        raise missing(wanted, config)
    context = config.contexts.get(wanted) or Context(name="environment")
    for field in FIELDS:
        value = environment.get(f"SUANMESH_{field.upper()}")
        if value:
            origins = (*(pair for pair in context.origins if pair[0] != field), (field, f"SUANMESH_{field.upper()}"))
            context = replace(context, **{field: value}, origins=origins)
    lacking = [field for field in ("gateway", "node", "ca") if not getattr(context, field)]
    if lacking:
        fields = ", ".join(lacking)
        unknown = Text(
            f"it is not known which mesh to talk to: no {fields}; "
            "start one with `suan dev`, join one with `suan login INVITE`, "
            "or set SUANMESH_CONFIG to a file with contexts",
            f"不知道要与哪个算网通信：缺少 {fields}；"
            "可用 `suan dev` 启动一个，用 `suan login 邀请` 加入一个，或把 SUANMESH_CONFIG 设为含有上下文的文件",
        )
        raise refusal(FailedPrecondition, "CONTEXT_MISSING", unknown, field=lacking[0])
    return context


def missing(name: str, config: Config) -> FailedPrecondition:
    """The refusal where there is no context of that name."""
    known = ", ".join(config.contexts)
    unknown = Text(
        f"there is no context {name!r}; known: {known or 'none'}",
        f"没有上下文 {name!r}；已知：{known or '无'}",
    )
    return refusal(FailedPrecondition, "CONTEXT_MISSING", unknown, name=name)


def require_usable(context: Context) -> None:
    """Raises InvalidArgument (`CONTEXT_INVALID`) where it can be seen that no mesh will be reached with its values."""
    for address in context.gateway.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= PORT_MAX:
            raise _unusable("gateway", Text(f"{address!r} is not HOST:PORT", f"{address!r} 不是 主机:端口"))
    if bool(context.cert) != bool(context.key):
        raise _unusable("cert", Text("it goes together with key", "须与 key 同时给出"))
    for field, kind in PATHS.items():
        path = getattr(context, field)
        try:
            if path and kind not in Path(path).read_bytes():
                raise _unusable(
                    field, Text(f"{path} is no PEM of a {kind.decode()}", f"{path} 不是 PEM 格式的 {kind.decode()}")
                )
        except OSError as error:
            said = Text(f"{path}: {error.strerror}", f"{path}：无法读取（{error.strerror}）")
            raise _unusable(field, said) from error


def _unusable(field: str, problem: Text) -> InvalidArgument:
    text = Text(f"{field}: {problem.en}", f"{field}：{problem.zh}")
    return refusal(InvalidArgument, "CONTEXT_INVALID", text, field=field)


def _table(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise _invalid(path, Text(f"cannot be read: {error.strerror}", f"无法读取：{error.strerror}")) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(path, Text(f"is not TOML: {error}", f"不是合法的 TOML：{error}")) from error


def _context(path: Path, name: str, values: object) -> Context:
    if not isinstance(values, dict):
        raise _invalid(path, _no_table(f"contexts.{name}"))
    known: dict[str, str] = {}
    for field, value in values.items():
        if field not in FIELDS or not isinstance(value, str):
            allowed = ", ".join(FIELDS)
            unknown = Text(
                f"contexts.{name}.{field} is not one of {allowed} with a text as value",
                f"contexts.{name}.{field} 不是 {allowed} 之一，或其值不是文本",
            )
            raise _invalid(path, unknown)
        known[field] = str(path.parent / value) if field in PATHS else value
    return Context(name=name, origins=tuple((field, str(path)) for field in known), **known)


def _no_table(what: str) -> Text:
    return Text(f"{what} is not a table", f"{what} 不是表")


def _invalid(path: Path, problem: Text) -> InvalidArgument:
    text = Text(f"{path} {problem.en}", f"{path} {problem.zh}")
    return refusal(InvalidArgument, "CONTEXT_INVALID", text, field=str(path))
