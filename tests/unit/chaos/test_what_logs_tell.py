"""What is read off logs: when a task ran, and whether a service tells of a defect."""

from __future__ import annotations

import json

from chaos.facts import Run
from chaos.recording import run_of
from chaos.remains import defect_in


def test_a_run_is_what_its_task_told() -> None:
    """Two places at the same time are found by these two moments alone."""
    text = "hello\nBEAT begin 10.5 1000.5\nBEAT run 10.6 1000.6\nBEAT end 11.5 1001.5\nbye\n"

    assert run_of(text, "placements/p", 2, "a") == Run("placements/p", 2, "a", 10.5, 11.5, 1000.5)


def test_a_task_that_began_twice_is_seen() -> None:
    """A task that is started again within one placement does its work twice."""
    told = run_of("BEAT begin 1.0 1.0\nBEAT begin 2.0 2.0\nBEAT r", "placements/p", 0, "a")

    assert told is not None
    assert told.begins == 2


def test_a_task_that_said_nothing_has_no_run() -> None:
    """A task that was killed before its first line leaves nothing to judge."""
    assert run_of("", "placements/p", 0, "a") is None


def test_defects_are_told_apart_from_warnings() -> None:
    """A warning under a fault is right; a traceback is ours, in JSON as well as bare."""
    failed = {"event": "work failed", "work": "settle hold", "exception": "Traceback\n  File x\nKeyError: 'a'"}
    answered = {"event": "call served", "method": "M/Get", "code": "INTERNAL", "reason": "KeyError"}

    assert defect_in(json.dumps(failed)) == "work failed settle hold: KeyError: 'a'"
    assert defect_in(json.dumps(answered)) == "M/Get answered INTERNAL: KeyError"
    assert defect_in("Traceback (most recent call last):")
    assert defect_in(json.dumps({"event": "lead lost", "level": "warning"})) == ""
    assert defect_in(json.dumps({"event": "call served", "code": "UNAVAILABLE"})) == ""
