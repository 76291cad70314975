"""What all commands have alike, so that who knows one knows the next."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from suanmesh_cli.lazy import Verbs
from suanmesh_cli.main import suan
from suanmesh_cli.names import LISTS, Name

MACHINES = ("join-machine", "add-machine", "list-machines", "remove-machine")
NODE_VERBS = ("init", "run", "check", "rotate", "backup", "backup-key", "restore", "upgrade", "prepare", *MACHINES)
OF_NODES = {*(("node", verb) for verb in NODE_VERBS), ("site", "join"), ("site", "run")}
LOCAL = {
    ("dev",),
    ("support-bundle",),
    ("doctor",),
    ("explain",),
    ("version",),
    ("completion",),
    ("job", "schema"),
    *OF_NODES,
}
"""What asks no mesh."""
LISTING = {"columns", "sort", "no_headers", "limit", "watch"}
FOR_ALL = {"output", "query", "utc", "context_name", "lang", "bound_s"}


def commands(group: click.Group = suan, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words."""
    with click.Context(group) as ctx:
        for name in group.list_commands(ctx):
            found = group.get_command(ctx, name)
            assert found is not None
            if isinstance(found, click.Group):
                assert isinstance(found, Verbs), f"{name} does not say which verb may have been meant"
                yield from commands(found, (*path, name))
            else:
                yield (*path, name), found


COMMANDS = dict(commands())
ASKING = [path for path in COMMANDS if path not in LOCAL]


def ending(*verbs: str) -> list[tuple[str, ...]]:
    """The commands that ask the mesh with one of these verbs."""
    return [path for path in ASKING if path[-1] in verbs and path[0] != "ctx"]


def options(path: tuple[str, ...]) -> set[str]:
    """The names of its options."""
    return {str(param.name) for param in COMMANDS[path].params if isinstance(param, click.Option)}


@pytest.mark.parametrize("path", ASKING, ids=" ".join)
def test_what_asks_the_mesh_takes_the_shared_options(path: tuple[str, ...]) -> None:
    """A script that learnt -o json and --timeout with one command uses them with all."""
    assert options(path) >= FOR_ALL


@pytest.mark.parametrize(
    "path", [path for path in ASKING if path[-1] in ("list", "tasks", "search") and path[0] != "ctx"], ids=" ".join
)
def test_every_list_is_cut_sorted_and_watched_alike(path: tuple[str, ...]) -> None:
    """Lists are what people read most, and no list is so short that nobody wants less of it."""
    assert options(path) >= LISTING


@pytest.mark.parametrize(
    "path", [path for path in ASKING if path[-1] in ("show", "explain") and path[0] != "ctx"], ids=" ".join
)
def test_everything_shown_can_be_watched(path: tuple[str, ...]) -> None:
    """Whoever waits for something would type the command again and again."""
    assert "watch" in options(path)


@pytest.mark.parametrize("path", ASKING, ids=" ".join)
def test_names_are_completed(path: tuple[str, ...]) -> None:
    """A name of thirty characters is not typed twice with pleasure."""
    kinds = {
        "job": "jobs",
        "site": "sites",
        "pool": "pools",
        "dataset": "datasets",
        "account": "accounts",
        "party": "parties",
    }
    made = path[-1] in ("submit", "create", "add", "open", "put", "invite", "join")
    for param in COMMANDS[path].params:
        if isinstance(param, click.Argument) and param.name in ("name", "names") and path[0] in kinds and not made:
            assert isinstance(param.type, Name)
            assert kinds[path[0]] in LISTS
