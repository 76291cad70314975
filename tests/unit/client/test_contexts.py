"""Which mesh is talked to, and as whom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from suanmesh_cli.usage import language
from suanmesh_client import contexts
from suanmesh_kernel.refusals import FailedPrecondition, InvalidArgument

USER = """\
current = "user"
[contexts.user]
gateway = "127.0.0.1:7000"
node = "demo"
ca = "tls/ca.pem"
cert = "tls/user.pem"
key = "/abs/user.key"
[contexts.operator]
gateway = "127.0.0.1:7000"
node = "demo"
ca = "tls/ca.pem"
"""


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_nearest_file_counts_and_paths_are_relative_to_it(tmp_path: Path) -> None:
    """A project's own mesh must win over the one in the home folder."""
    home = written(tmp_path / "home" / ".config" / "suanmesh" / "config.toml", USER.replace("7000", "9999"))
    here = written(tmp_path / "work" / "build" / "dev" / "config.toml", USER)
    environment = {"HOME": str(tmp_path / "home")}
    assert contexts.files(environment, tmp_path / "work") == [here, home]
    context = contexts.chosen(contexts.load([here, home]), environment)
    assert (context.name, context.gateway) == ("user", "127.0.0.1:7000")
    assert context.ca == str(here.parent / "tls/ca.pem")
    assert context.key == "/abs/user.key"


def test_one_file_can_be_named(tmp_path: Path) -> None:
    """A script must not depend on where it runs."""
    assert contexts.files({"SUANMESH_CONFIG": "/x.toml", "HOME": "/"}, tmp_path) == [Path("/x.toml")]


def test_flag_over_environment_over_file(tmp_path: Path) -> None:
    """Whoever says it last and nearest is obeyed, and can see who it was."""
    loaded = contexts.load([written(tmp_path / "c.toml", USER)])
    environment = {"SUANMESH_CONTEXT": "operator", "SUANMESH_GATEWAY": "10.0.0.1:1"}
    assert contexts.chosen(loaded, environment).name == "operator"
    chosen = contexts.chosen(loaded, environment, "user")
    assert (chosen.name, chosen.gateway) == ("user", "10.0.0.1:1")
    assert dict(chosen.origins)["gateway"] == "SUANMESH_GATEWAY"
    assert dict(chosen.origins)["node"].endswith("c.toml")


def test_without_any_mesh_the_way_to_one_is_told() -> None:
    """The first command of a newcomer usually comes before the first mesh."""
    with pytest.raises(FailedPrecondition, match="suan dev"):
        contexts.chosen(contexts.load([]), {})
    with pytest.raises(FailedPrecondition, match="no context 'x'"):
        contexts.chosen(contexts.load([]), {}, "x")


@pytest.mark.parametrize("text", ["[contexts", "contexts = 1", "[contexts]\na = 1", "[contexts.a]\ngatway = 'x'"])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    """A typo in a configuration must not read as an unreachable server."""
    with pytest.raises(InvalidArgument, match=r"c\.toml"):
        contexts.load([written(tmp_path / "c.toml", text)])


PEM = {"ca": "-BEGIN CERTIFICATE-", "cert": "-BEGIN CERTIFICATE-", "key": "-BEGIN PRIVATE KEY-"}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"gateway": "mesh.example.net"}, "gateway"),
        ({"gateway": "mesh.example.net:99999"}, "gateway"),
        ({"gateway": "a:1,:2"}, "gateway"),
        ({"key": ""}, "cert"),
        ({"ca": "gone.pem"}, "ca"),
        ({"cert": "key.pem"}, "cert"),
        ({"key": "ca.pem"}, "key"),
    ],
)
def test_what_reaches_no_mesh_is_named(tmp_path: Path, wrong: dict[str, str], field: str) -> None:
    """A mistyped port, or a key in the place of a certificate, read as a mesh that is down, after ten seconds."""
    for name, text in PEM.items():
        written(tmp_path / f"{name}.pem", text)
    values = {"gateway": "a:1, [::1]:2", "node": "n"} | {name: str(tmp_path / f"{name}.pem") for name in PEM}
    contexts.require_usable(replace(contexts.Context("x"), **values))  # type: ignore[arg-type]
    told = {name: str(tmp_path / text) if text.endswith(".pem") else text for name, text in wrong.items()}
    with pytest.raises(InvalidArgument, match="CONTEXT_INVALID") as refused:
        replace(contexts.Context("x"), **values | told).mesh()  # type: ignore[arg-type]
    assert refused.value.facts == {"field": field}


@pytest.mark.parametrize(
    ("environment", "flag", "expected"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "", "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "", "en"),
        ({"LANG": "zh_CN.UTF-8"}, "en", "en"),
        ({"SUANMESH_LANG": "zh"}, "", "zh"),
        ({}, "", "en"),
    ],
)
def test_the_language_follows_the_locale(environment: dict[str, str], flag: str, expected: str) -> None:
    """Operators read their own language without asking for it."""
    assert language(environment, flag) == expected
