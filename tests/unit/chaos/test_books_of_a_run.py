"""The books of a run under faults: right for a run that was right, and each names what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from chaos import books
from chaos.facts import Account, Change, Charge, Dataset, Facts, Hold, Job, Ledger, Posting, Process, Run, Usage
from chaos.records import Answered, Asked, CallError, Cancelled, Journal, Moving, Published, Seen

STATES = ("COMMITTED", "ACCEPTED", "RUNNING", "DELIVERING", "DONE")
HISTORY = ("PENDING", "PLACED", "RUNNING", "DELIVERING", "DONE")
FIRST_CHARGE = ("sites/a/e/1", "CPU", "b@1", "placements/p1", 10, "a/c", "a/p", "e2")
Break = Callable[[Facts], None]


def a_right_run() -> Facts:
    """One job that was asked for, ran once, was metered and charged; one dataset that was published and moved."""
    journal = Journal(
        asked=[Asked("m1", "plain", "alice", 1)],
        answered=[Answered("m1", 100.0, name="jobs/j1")],
        seen=[Seen("jobs/j1", "RUNNING", 101.0), Seen("jobs/j1", "DONE", 105.0)],
        published=[Published("datasets/d", "digest", "sha", 99.0)],
        moving=[Moving("transfers/t", "datasets/d", "sites/b", 99.5)],
    )
    return Facts(
        journal,
        jobs=[Job("jobs/j1", "m1", "DONE", "", HISTORY, "placements/p1", 104.0)],
        changes=[Change(n, "placements/p1", "jobs/j1", "sites/a", state) for n, state in enumerate(STATES)],
        runs=[Run("placements/p1", 0, "a", 10.0, 11.0, 101.0)],
        ledger=a_right_ledger(),
        datasets={"datasets/d": Dataset("datasets/d", "digest", "sha")},
        transfers={"transfers/t": "DONE"},
        before=[Process("scheduler", 7, 90, 40)],
        after=[Process("scheduler", 7, 95, 42)],
    )


def a_right_ledger() -> Ledger:
    """Money paid in, and one charge within its hold."""
    return Ledger(
        accounts=(Account("a/c", "CNY", 90, 0), Account("a/p", "CNY", 10, 0), Account("a/f", "CNY", -100, 0)),
        postings=(
            Posting("e1", "a/c", 100, "CNY"),
            Posting("e1", "a/f", -100, "CNY"),
            Posting("e2", "a/c", -10, "CNY"),
            Posting("e2", "a/p", 10, "CNY"),
        ),
        holds=(Hold("holds/p1-0", "placements/p1", "RELEASED", 50, 10),),
        charges=(Charge("charges/1", *FIRST_CHARGE),),
        usage=(Usage("sites/a/e/1", "placements/p1", "", 0, 1_000_000, 2_000_000, True, True),),
    )


def test_a_right_run_has_right_books() -> None:
    """A book that cries wolf is soon not read."""
    assert books.judged(a_right_run()) == {name: [] for name in books.BOOKS}


def _second_run(facts: Facts) -> None:
    facts.changes += [Change(10 + n, "placements/p2", "jobs/j1", "sites/b", state) for n, state in enumerate(STATES)]
    facts.runs.append(Run("placements/p2", 0, "b", 10.5, 11.5, 101.5))


def _second_live(facts: Facts) -> None:
    facts.changes.insert(3, Change(2, "placements/p2", "jobs/j1", "sites/b", "COMMITTED"))
    facts.changes.append(Change(9, "placements/p2", "jobs/j1", "sites/b", "FAILED"))


def _cancelled_in_vain(facts: Facts) -> None:
    facts.journal.cancelled.append(Cancelled("jobs/j1", 1.0))
    facts.jobs = [replace(facts.jobs[0], state="FAILED", reason="x")]


def _ledger(**changed: object) -> Break:
    def broken(facts: Facts) -> None:
        facts.ledger = replace(facts.ledger, **changed)  # type: ignore[arg-type]

    return broken


def _job(**changed: object) -> Break:
    def broken(facts: Facts) -> None:
        facts.jobs = [replace(facts.jobs[0], **changed)]  # type: ignore[arg-type]

    return broken


def _usage(*more: Usage) -> Break:
    return _ledger(usage=(*a_right_ledger().usage, *more))


WRONG: list[tuple[str, Break]] = [
    ("JOB_LOST", lambda f: f.jobs.clear()),
    ("JOB_NOT_ENDED", _job(state="RUNNING")),
    ("JOB_DOUBLED", lambda f: f.jobs.append(replace(f.jobs[0], name="jobs/j2"))),
    ("JOB_UNASKED", lambda f: f.jobs.append(replace(f.jobs[0], name="jobs/j2", marker="m2"))),
    ("JOB_REFUSED_YET_MADE", lambda f: f.journal.answered.append(Answered("m1", 1.0, refused="JOB_EXISTS"))),
    ("JOB_CANCELLED_UNASKED", _job(state="CANCELLED")),
    ("JOB_FAILED_UNEXPLAINED", _job(state="FAILED")),
    ("JOB_FAILED:", _job(state="FAILED", reason="DEFECT: x")),
    ("JOB_TRANSITION", _job(history=("RUNNING", "STAGING", "DONE"))),
    ("END_CHANGED", lambda f: f.journal.seen.append(Seen("jobs/j1", "FAILED", 1.0))),
    ("CANCEL_FORGOTTEN", _cancelled_in_vain),
    ("RUN_AFTER_END", _job(end_at=100.0)),
    ("PLACEMENT_TRANSITION", lambda f: f.changes.append(Change(9, "placements/p1", "jobs/j1", "sites/a", "RUNNING"))),
    ("PLACEMENT_NOT_ENDED", lambda f: f.changes.pop() and None),
    ("PLACEMENT_WITHOUT_JOB", lambda f: f.changes.append(Change(9, "placements/p9", "jobs/j9", "sites/a", "LOST"))),
    ("PLACEMENT_GONE", lambda f: f.changes.insert(2, Change(1, "placements/p1", "", "", ""))),
    ("PLACEMENTS_AT_ONCE", _second_live),
    ("RUN_AT_TWO_PLACES", _second_run),
    ("RUN_TWICE", lambda f: f.runs.append(replace(f.runs.pop(), begins=2))),
    ("RUN_UNASKED", lambda f: f.runs.append(Run("placements/p9", 0, "a", 1.0, 2.0, 1.0))),
    ("DONE_WITHOUT_RUN", lambda f: f.runs.clear()),
    ("HELD", lambda f: f.held.append("links/a-b: 5 bit/s")),
    ("HOLD_OPEN", _ledger(holds=(Hold("holds/p1-0", "placements/p1", "COMMITTED", 50, 10),))),
    ("ENTRY_UNBALANCED", _ledger(postings=a_right_ledger().postings[:3])),
    ("BALANCE_WRONG", _ledger(accounts=(Account("a/c", "CNY", 91, 0),))),
    ("POSTING_ASTRAY", _ledger(accounts=a_right_ledger().accounts[:2])),
    ("CHARGED_BEYOND_HOLD", _ledger(holds=(Hold("holds/p1-0", "placements/p1", "RELEASED", 5, 10),))),
    ("HOLD_CHARGES_DIFFER", _ledger(holds=(Hold("holds/p1-0", "placements/p1", "RELEASED", 50, 9),))),
    ("CHARGE_WITHOUT_HOLD", _ledger(holds=())),
    ("CHARGED_TWICE", _ledger(charges=(Charge("charges/2", *FIRST_CHARGE), Charge("charges/1", *FIRST_CHARGE)))),
    ("CHARGES_NOT_POSTED", _ledger(postings=a_right_ledger().postings[:2])),
    ("USAGE_TWICE", _usage(a_right_ledger().usage[0])),
    ("USAGE_OVERLAPS", _usage(Usage("sites/a/f/1", "placements/p1", "", 0, 1_500_000, 3_000_000, False, True))),
    ("USAGE_FINAL_TWICE", _usage(Usage("sites/a/f/1", "placements/p1", "", 0, 2_000_000, 3_000_000, True, True))),
    ("RUN_NOT_METERED", _ledger(usage=())),
    ("DATASET_UNREADABLE", lambda f: f.datasets.clear()),
    ("DATASET_CHANGED", lambda f: f.datasets.update({"datasets/d": Dataset("datasets/d", "digest", "other")})),
    ("TRANSFER_NOT_ENDED", lambda f: f.transfers.clear()),
    ("TASK_LEFT", lambda f: f.tasks_left.append("task p1/0")),
    ("LEFT_BEHIND", lambda f: f.left.append("mount /x")),
    ("ENDED_BY_ITSELF", lambda f: f.deaths.append("scheduler with 1")),
    ("FDS_LEAKED", lambda f: f.after.append(Process("scheduler", 7, 95, 300))),
    ("MEMORY_GROWN", lambda f: f.after.append(Process("scheduler", 7, 400, 42))),
    ("ANSWER_INTERNAL", lambda f: f.journal.errors.append(CallError("alice", "submit", "INTERNAL", "X", "", 1.0))),
    ("LOG", lambda f: f.log_defects.append("scheduler.log: work failed")),
    ("NOT_QUIET", lambda f: f.unquiet.append("jobs/j1 is RUNNING")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "break_it"), WRONG, ids=[name for name, _ in WRONG])
def test_each_wrong_is_named(name: str, break_it: Break) -> None:
    """What a book does not see, a user finds."""
    facts = a_right_run()
    break_it(facts)

    violations = [violation for each in books.judged(facts).values() for violation in each]

    assert any(violation.startswith(name) for violation in violations), violations


def test_a_later_attempt_elsewhere_is_right() -> None:
    """A job that was placed again after its site was lost must not look like one that runs twice."""
    facts = a_right_run()
    lost = ("COMMITTED", "ACCEPTED", "RUNNING", "LOST")
    facts.changes = [Change(-9 + n, "placements/p0", "jobs/j1", "sites/b", state) for n, state in enumerate(lost)]
    facts.changes += [Change(n, "placements/p1", "jobs/j1", "sites/a", state) for n, state in enumerate(STATES)]
    facts.runs.append(Run("placements/p0", 0, "b", 7.0, 9.0, 98.0))
    facts.ledger = replace(
        facts.ledger,
        usage=(*facts.ledger.usage, Usage("sites/b/e/1", "placements/p0", "", 0, 1_000_000, 2_000_000, True, False)),
    )

    assert books.judged(facts) == {name: [] for name in books.BOOKS}


def test_a_job_that_fails_on_purpose_may_fail() -> None:
    """A job whose task fails has to end FAILED, and a book that complains would hide those that complain rightly."""
    facts = a_right_run()
    facts.journal.asked = [Asked("m1", "failing", "alice", 1)]
    facts.journal.seen.clear()
    facts.jobs = [
        replace(facts.jobs[0], state="FAILED", reason="EXIT_STATUS: 3", history=("PENDING", "PLACED", "FAILED"))
    ]

    assert books.jobs(facts) == []
