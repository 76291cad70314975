"""What other people's texts can do to a terminal: nothing."""

from __future__ import annotations

import io
import json
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.registry.v1.site_pb2 import Site
from suanmesh_cli import errors, output, terminal
from suanmesh_cli.layout import Column
from suanmesh_cli.output import FORMS, View
from suanmesh_cli.terminal import LogText, Terminal, safe
from suanmesh_kernel.refusals import NotFound
from suanmesh_kernel.texts import COMMANDING, first_unshowable

EVIL = "a\tb\n\x1b[31mred\u202eevil\x9b2J\u2066x\u200b\u3164\ufe0f\U000e0041\U000e0100"


@given(st.text())
def test_nothing_that_commands_a_terminal_is_left(text: str) -> None:
    """A name that clears the screen or rewrites the line above it can hide what it was called with."""
    assert first_unshowable(safe(text)) is None


@pytest.mark.parametrize("form", FORMS)
def test_no_answer_carries_commands(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An operator who lists what others named must see it, not obey it."""
    columns = [Column("SITE", lambda site: site.name), Column("NAME", lambda site: site.display_name)]
    site = Site(name=EVIL, display_name=EVIL)
    output.show_list(View(form=form), "sites", [site], columns)
    output.show_one(View(form=form), site, lambda: output.facts(View(), [("name", site.display_name)]))
    out = capsys.readouterr().out
    assert first_unshowable(out.replace("\n", "")) is None
    if form in ("table", "wide"):
        assert "\\x1b[31mred\\u202eevil" in out


def test_data_says_the_same_after_it_was_made_safe(capsys: pytest.CaptureFixture[str]) -> None:
    """A script must find the very text that was sent."""
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        output.show_one(View(form=form), Site(display_name=EVIL + "算"), list)
        assert read(capsys.readouterr().out) == {"display_name": EVIL + "算"}


def test_a_refusal_carries_no_commands() -> None:
    """Facts of a refusal are often what somebody else has written."""
    told = errors.described(NotFound("JOB_UNKNOWN", f"{EVIL} is unknown", name=EVIL), "en")
    assert first_unshowable(told.replace("\n", "")) is None


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "links 合肥→上海 3 µs"), ("gbk", "links 合肥->上海 3 us"), ("ascii", "links ??->?? 3 us")],
)
def test_what_an_encoding_lacks_has_a_stand_in(encoding: str, shown: str) -> None:
    """A traceback in the place of an answer helps nobody."""
    assert Terminal(encoding=encoding).shown("links 合肥→上海 3 µs") == shown


def test_data_is_whole_in_any_encoding(capsys: pytest.CaptureFixture[str]) -> None:
    """A stand-in in a table is a pity; in data it is a lie."""
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        output.show_one(View(form=form, terminal=Terminal(encoding="ascii")), Site(display_name="合肥"), list)
        out = capsys.readouterr().out
        assert out.isascii()
        assert read(out) == {"display_name": "合肥"}


def test_a_file_of_csv_is_whole_in_any_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody finds the site in a bill that calls it `??`."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", errors="replace"))
    view, columns = (
        View(form="csv", terminal=Terminal(encoding="ascii")),
        [Column("NAME", lambda site: site.display_name)],
    )
    output.show_list(view, "sites", [Site(display_name="合肥")], columns)
    assert written.getvalue().decode() == "name\n合肥\n"


@given(st.lists(st.binary(max_size=8), max_size=8))
def test_a_log_is_made_safe_however_it_is_cut(pieces: list[bytes]) -> None:
    """A task that prints escapes must not own the terminal of whoever reads its log."""
    log, whole = LogText(), LogText()
    text = "".join([*(log.text_of(piece) for piece in pieces), log.text_of(b"", final=True)])
    assert not COMMANDING.search(text.replace("\n", "").replace("\t", ""))
    assert text == whole.text_of(b"".join(pieces), final=True)


def test_colours_and_progress_of_a_log_stay_readable() -> None:
    """Most training loops print both."""
    log = LogText()
    text = log.text_of(b"\x1b[3") + log.text_of(b"1mred\x1b[0m\r\n 10%\r 20%\r") + log.text_of(b"\n\x1b]0;t\x07")
    assert text + log.text_of(b"", final=True) == "red\n 10%\n 20%\n\\x1b]0;t\\x07"


class OnATerminal(io.StringIO):
    """Standard output of so many columns, as far as it can be told without one."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("told", "width"), [("1", 1), ("120", 120), ("9" * 5000, 999_999_999)])
def test_any_number_of_columns_is_taken(told: str, width: int) -> None:
    """A number that is too long for Python to read is no reason for a traceback."""
    assert terminal.found(OnATerminal(), {"COLUMNS": told}).width == width
