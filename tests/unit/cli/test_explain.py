"""`suan explain`: what every code means, without a network."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from suanmesh_cli.explaining import catalogue, entries
from suanmesh_cli.main import status_of, suan
from suanmesh_sdk.explained import of_refusal


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_code_is_explained_in_both_languages(lang: str) -> None:
    """A site operator at night has no network and no page open."""
    known = catalogue()
    told = CliRunner().invoke(suan, ["--lang", lang, "explain", *known])
    assert told.exit_code == 0
    for code, meanings in known.items():
        for entry in entries(code, meanings):
            assert all(text.of(lang) in told.stdout for _, text in entry.parts), code


def test_without_a_code_all_are_listed() -> None:
    """Somebody who remembers half a word looks for it in the list."""
    told = CliRunner().invoke(suan, ["explain"])
    assert [line.split()[0] for line in told.stdout.splitlines()] == list(catalogue())


def test_a_code_is_taken_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    """Capitals are not typed by everybody, and letters are mixed up by all."""
    assert status_of(["explain", "job_unknown"], {}) == 0
    assert "suan job list" in capsys.readouterr().out
    assert status_of(["explain", "JOB_UNKNWON"], {}) == 2
    assert "Did you mean JOB_UNKNOWN?" in capsys.readouterr().err


def test_codes_are_completed() -> None:
    """Nobody types CALLS_OF_CALLER_MAX to its end."""
    words = {"_SUAN_COMPLETE": "bash_complete", "COMP_WORDS": "suan explain job_un", "COMP_CWORD": "2"}
    told = CliRunner(env=words).invoke(suan, prog_name="suan", complete_var="_SUAN_COMPLETE")
    assert [line.rpartition(",")[2] for line in told.stdout.split()] == ["JOB_UNKNOWN"]


def test_a_reason_of_two_areas_has_the_remedy_of_the_one_that_refused() -> None:
    """An account that is unknown to accounting is mistyped in the command, one unknown to the scheduler in the job."""
    one, other = (of_refusal(f"{area}.suanmesh", "ACCOUNT_UNKNOWN") for area in ("scheduler", "accounting"))
    assert one is not None
    assert other is not None
    assert one.remedy != other.remedy
    assert of_refusal("scheduler.suanmesh", "NO_SUCH_REASON") is None
