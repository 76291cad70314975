"""A mistake in the command line is told in the reader's language, with the way to the help, and ends with status 2."""

from __future__ import annotations

import re

import pytest

from suanmesh_cli.commands.local import SITES_MAX
from suanmesh_cli.main import status_of
from suanmesh_cli.usage import Duration
from suanmesh_local.world import PLACES

CHINESE = re.compile("[一-鿿]")


@pytest.mark.parametrize(
    "arguments",
    [
        "jobs",
        "job sumbit",
        "job submit",
        "job list --foo",
        "job list -o xml",
        "job list --timeout nan",
        "job list --timeout inf",
        "job list --timeout 0",
        "job list --timeout -1",
        "job list --timeout 1e30",
        "job list --timeout 5parsecs",
        "job list --since soon",
        "job list --since 99999999999d",
        "job list --since -5",
        "job logs x --since 0001-01-01T00:00+23:00",
        "bill show --from 99999999999d",
        "bill show --from 2026-13",
        "bill show --from inf",
        "bill show --from 2026-12-01 --to 2026-11-29",
        "job list --limit -1",
        "job list --columns job -o json",
        "job logs x --tail 0",
        "job logs x 99999999999",
        "dataset get x",
        "trace show",
        "dev --sites 0",
        "dev --sites 9",
        "job show \udcff",
    ],
)
def test_a_misuse_is_told_in_both_languages(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever reads only Chinese would not know what to type instead; a script must not take it for a failed job."""
    assert status_of(arguments.split(), {}) == 2
    english = capsys.readouterr()
    assert status_of(arguments.split(), {"LANG": "zh_CN.UTF-8"}) == 2
    chinese = capsys.readouterr()

    assert (english.out, chinese.out) == ("", "")
    assert "Error: " in english.err
    assert not CHINESE.search(english.err)
    assert CHINESE.search(chinese.err.partition("错误: ")[2])


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5", 1.5), ("300ms", 0.3), ("5m", 300), ("2h30m", 9000), ("1d 2h", 93600)]
)
def test_a_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    """A wait of 5 m that is taken for 5 s ends a night's work at its beginning."""
    assert Duration().convert(text, None, None) == pytest.approx(seconds)


def test_the_language_is_heeded_where_the_rest_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    """The flag stands beside the mistake."""
    assert status_of(["job", "list", "--nonsense", "--lang=zh"], {}) == 2
    assert "没有选项 --nonsense" in capsys.readouterr().err


def test_standard_input_is_no_dataset(capsys: pytest.CaptureFixture[str]) -> None:
    """`tar c . | suan data put -` is what fingers write; that there is no folder `-` would help nobody."""
    assert status_of(["data", "put", "-"], {"LANG": "C"}) == 2
    assert "Write it to one, and put that." in capsys.readouterr().err


def test_dev_offers_as_many_sites_as_there_are() -> None:
    """The help would promise sites that the launcher then refuses."""
    assert len(PLACES) == SITES_MAX


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("job ls", "list"),
        ("job describe x", "show"),
        ("job delete x", "cancel"),
        ("job kill x", "cancel"),
        ("job run x.yaml", "submit"),
        ("data upload x", "put"),
        ("data delete x", "rm"),
        ("site delete x", "remove"),
        ("jobs", "job"),
        ("help", "--help"),
        ("job help", "--help"),
    ],
)
def test_a_verb_of_another_command_line_is_answered_with_ours(
    arguments: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fingers that know kubectl or Slurm would go to the help for each verb; `ls` is no mistyped `logs`."""
    assert status_of(arguments.split(), {"LANG": "C"}) == 2
    assert f"Did you mean {meant!r}?" in capsys.readouterr().err
