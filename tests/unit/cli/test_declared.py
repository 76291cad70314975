"""A file declares what would else be typed line by line; a mistake in it is named by its line, and nothing is sent."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from suanmesh_cli.commands.money import price
from suanmesh_cli.commands.network import link
from suanmesh_cli.declared import declared
from suanmesh_cli.lazy import meant
from suanmesh_cli.usage import Misuse
from suanmesh_kernel.refusals import InvalidArgument

LINK_OPTIONS = ("name", "source", "target", "kind", "capacity", "latency", "loss_ppm", "cost", "owner", "groups")
NOTHING = dict.fromkeys(LINK_OPTIONS, "")
PRICE_OPTIONS = ("name", "prices", "party", "currency", "request_id")


def of(tmp_path: Path, text: str, group: click.Group = link, verb: str = "declare") -> list[dict[str, object]]:
    """What the file declares for a command."""
    path = tmp_path / "many.yaml"
    path.write_text(text)
    command = group.commands[verb]
    options, under = (LINK_OPTIONS, "links") if group is link else (PRICE_OPTIONS, "price-books")
    return declared(click.Context(command), path, under, dict.fromkeys(options, ""))


def test_entries_are_read_as_the_options_are(tmp_path: Path) -> None:
    """What holds on the command line holds in the file: units, choices, bounds and defaults."""
    (found,) = of(
        tmp_path,
        "links:\n- {name: a-b, from: a, to: b, class: access, capacity: 1Gbit/s, latency: 8ms, price: 0.02/GB,"
        " risk-group: [duct-7, duct-8]}\n",
    )
    assert found == {
        "name": "a-b",
        "source": "a",
        "target": "b",
        "kind": "access",
        "capacity": 10**9,
        "latency": 8000,
        "loss_ppm": None,
        "cost": "0.02/GB",
        "owner": "",
        "groups": ("duct-7", "duct-8"),
    }


def test_prices_are_pairs(tmp_path: Path) -> None:
    """An amount in a file is what stands there, to the last digit."""
    text = "price-books:\n- name: a\n  prices: {cpu: 0.10/core-h, device: free}\n- {name: b, prices: [cpu=1/core-h]}\n"
    first, second = of(tmp_path, text, price, "set")
    assert first["prices"] == ("cpu=0.10/core-h", "device=free")
    assert second["prices"] == ("cpu=1/core-h",)


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("links:\n- {name: a-b, capacity: 1Gbit/x}", 2, "links[0].capacity"),
        ("links:\n- {name: a-b, class: wide}", 2, "links[0].class"),
        ("links:\n- {name: a-b, loss-ppm: -1}", 2, "links[0].loss-ppm"),
        ("links:\n- {name: a-b}\n- {name: a-c, form: a}", 3, "links[1].form"),
        ("links:\n- {name: a-b}\n- {name: a-b}", 3, "links[1].name"),
        ("links:\n- {name: a-b}\n- {name: links/a-b}", 3, "links[1].name"),
        ("links:\n- {name: a-b, name: a-c}", 2, "links[0].name"),
        ("links:\n- {from: a}", 2, "links[0].name"),
        ("links:\n- {name: }", 2, "links[0].name"),
        ("links:\n- {name: [a]}", 2, "links[0].name"),
        ("links:\n- a-b", 2, "links[0]"),
        ("links: []", 1, "links"),
        ("links: {a-b: {from: a}}", 1, "links"),
        ("name: a-b", 1, "name"),
    ],
)
def test_a_mistake_is_named_by_its_line(tmp_path: Path, text: str, line: int, field: str) -> None:
    """In a file of eighty links nobody finds it else."""
    with pytest.raises(InvalidArgument) as refused:
        of(tmp_path, text)
    assert refused.value.facts["field"] == field
    assert refused.value.facts["line"] == str(line)


@pytest.mark.parametrize(
    "given", [NOTHING, NOTHING | {"source": "a"}], ids=["nothing at all", "something of what has no name"]
)
def test_either_a_name_or_a_file(given: dict[str, object]) -> None:
    """Nothing to declare is a mistake, not an empty success."""
    with pytest.raises(Misuse):
        declared(click.Context(link.commands["declare"]), None, "links", given)


def test_a_name_and_a_file_are_too_much(tmp_path: Path) -> None:
    """Whoever gives both means one of them, and we cannot tell which."""
    with pytest.raises(Misuse):
        declared(click.Context(link.commands["declare"]), tmp_path / "many.yaml", "links", NOTHING | {"name": "a"})


@pytest.mark.parametrize(
    ("word", "names", "found"),
    [
        ("ls", ["list", "logs"], "list"),
        ("delete", ["list", "rm"], "rm"),
        ("token", ["invite", "join"], "invite"),
        ("squeue", ["job", "site"], "job list"),
        ("topology", ["list", "show"], ""),
        ("sumbit", ["submit", "list"], "submit"),
        ("xyz", ["submit", "list"], ""),
    ],
)
def test_words_of_other_tools_are_known(word: str, names: list[str], found: str) -> None:
    """Who comes from another tool types its word first."""
    assert meant(word, names) == found
