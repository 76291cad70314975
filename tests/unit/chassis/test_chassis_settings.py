"""Settings come from the environment and nowhere else, and a wrong one is named."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from suanmesh_chassis.settings import SECRET, Common, described, load
from suanmesh_kernel.refusals import InvalidArgument


@dataclass(frozen=True, slots=True)
class Sample:
    """One field of each kind."""

    needed: str
    """Has no default."""
    number: int = 1
    """A number."""
    share: float = 0.5
    """A fraction."""
    flag: bool = False
    """A switch."""
    folder: Path | None = None
    """May be absent."""
    hosts: tuple[str, ...] = ()
    """Several."""
    token: str = field(default="", metadata=SECRET)
    """Not for the log."""


def test_each_field_is_read_by_its_type() -> None:
    """A setting that is silently a string fails far from where it was written."""
    environment = {
        "X_NEEDED": "n",
        "X_NUMBER": "7",
        "X_SHARE": "0.25",
        "X_FLAG": "true",
        "X_FOLDER": "/srv",
        "X_HOSTS": "a:1, b:2",
    }

    assert load(Sample, "X_", environment) == Sample("n", 7, 0.25, True, Path("/srv"), ("a:1", "b:2"))


def test_what_is_not_set_keeps_its_default() -> None:
    """Defaults run the local mesh, so nobody has to set what he does not care about."""
    assert load(Common, "SUANMESH_", {}) == Common()


@pytest.mark.parametrize(
    ("environment", "named"),
    [({}, "X_NEEDED"), ({"X_NEEDED": "n", "X_NUMBER": "x"}, "X_NUMBER"), ({"X_NEEDED": "n", "X_FLAG": "ja"}, "X_FLAG")],
)
def test_a_wrong_setting_is_named(environment: dict[str, str], named: str) -> None:
    """Whoever deploys must not have to guess which of twenty variables is wrong."""
    with pytest.raises(InvalidArgument) as caught:
        load(Sample, "X_", environment)

    assert caught.value.facts["field"] == named


def test_a_secret_comes_from_a_file_and_is_not_shown(tmp_path: Path) -> None:
    """The environment of a process and its log are read by more people than its secrets should be."""
    (tmp_path / "token").write_text("hush\n")

    settings = load(Sample, "X_", {"X_NEEDED": "n", "X_TOKEN_FILE": str(tmp_path / "token")})

    assert settings.token == "hush"
    assert described(settings)["token"] == "***"


@pytest.mark.parametrize(
    ("database", "shown"),
    [
        ("postgresql://ledger:hush@db.example/ledger", "postgresql://ledger:***@db.example/ledger"),
        ("postgresql+psycopg://ledger:hu/s@hush@db:5432/ledger", "postgresql+psycopg://ledger:***@db:5432/ledger"),
        ("postgresql://db/ledger?password=hush&sslmode=require", "postgresql://db/ledger?password=***&sslmode=require"),
        ("postgresql://ledger@db.example:5432/ledger", "postgresql://ledger@db.example:5432/ledger"),
        ("sqlite:////var/lib/suanmesh/ledger.sqlite", "sqlite:////var/lib/suanmesh/ledger.sqlite"),
    ],
)
def test_a_password_in_a_url_is_not_shown_and_the_rest_is(database: str, shown: str) -> None:
    """Logs go to whoever collects them, and the ledger's password would with them; where it lies helps on call."""
    assert described(load(Sample, "X_", {"X_NEEDED": database}))["needed"] == shown


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """An empty secret in the place of a missing one lets everybody in or nobody."""
    with pytest.raises(InvalidArgument) as caught:
        load(Sample, "X_", {"X_NEEDED": "n", "X_TOKEN_FILE": str(tmp_path / "none")})

    assert caught.value.facts["field"] == "X_TOKEN_FILE"
