"""What people see of decisions, bills and traces."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh.accounting.v1.account_pb2 import Account
from suanmesh.accounting.v1.usage_pb2 import Bill, Charge
from suanmesh.gateway.v1.trace_pb2 import Span, Trace
from suanmesh.scheduler.v1.decision_pb2 import (
    AdmittingChange,
    Candidate,
    CandidateExplanation,
    Decision,
    Obstacle,
    ObstacleCount,
)
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh.scheduler.v1.reason_pb2 import OBSTACLE_CODE_CPU
from suanmesh.type.v1.money_pb2 import METER_CPU_US, Price
from suanmesh.type.v1.state_reason_pb2 import StateReason
from suanmesh_cli import errors, following, units
from suanmesh_cli.commands.money import micros
from suanmesh_cli.output import View
from suanmesh_cli.render import bill, explain, trace
from suanmesh_cli.render.states import because
from suanmesh_kernel.refusals import BY_CODE, InvalidArgument, NotFound, Refusal

CHEAP = Candidate(
    pool="sites/a/pools/p", site="sites/a", cost_micros=1_500_000, transfer_micros=500_000, compute_micros=1_000_000,
    transfer_bytes=5 << 20, transfer_ms=800, path=["links/b-a"], rate_bps=50_000_000, latency_us=4000, finish_ms=9000,
)  # fmt: skip
SMALL = Candidate(
    pool="sites/b/pools/p",
    obstacle=Obstacle(code=OBSTACLE_CODE_CPU, needed=4000, available=1000, resource="sites/b/pools/p"),
)

CHOSEN = StateReason(
    code="CHOSEN", facts={"pool": CHEAP.pool, "cost_micros": "1500000"}, causes=[StateReason.Cause(code="ONLY_FIT")]
)


VIEW, CHINESE = View(), View(lang="zh")


def text_of(lines: list[str]) -> str:
    return "\n".join(lines)


def test_a_decision_shows_every_candidate_with_its_numbers() -> None:
    """A user who cannot see why the winner won does not trust it with money."""
    made = Decision(candidates=[CHEAP, SMALL], candidate_count=2, chosen=CHEAP.pool, reason=CHOSEN)
    shown = text_of(explain.decision(VIEW, made))
    for part in (
        "a/p",
        "1.500000",
        "0.500000",
        "5.0 MiB",
        "b-a",
        "50 Mbit/s",
        "4.0 ms",
        "9.00 s",
        "ONLY_FIT: No other pool",
    ):
        assert part in shown
    assert "CPU: a task needs 4 cores, no host of sites/b/pools/p has more than 1 free" in shown
    assert "CPU: 每个任务需要 4 核，sites/b/pools/p 的主机最多空闲 1" in text_of(explain.decision(CHINESE, made))


def test_one_candidate_says_of_when_it_is() -> None:
    """Numbers of now, taken for those of the decision, would show a winner that should have lost."""
    told = CandidateExplanation(
        decision="jobs/j/decisions/1", candidate=SMALL, basis=CandidateExplanation.BASIS_NOW,
        reason=StateReason(code="REVISIONS_STAND"),
    )  # fmt: skip
    shown = text_of(explain.candidate(VIEW, told))
    for part in (
        "b/p",
        "CPU: a task needs 4 cores",
        "jobs/j/decisions/1",
        "as of now",
        "REVISIONS_STAND: The documents",
    ):
        assert part in shown
    assert "当前状况" in text_of(explain.candidate(CHINESE, told))
    told.basis = CandidateExplanation.BASIS_DECISION
    assert "as it was decided" in text_of(explain.candidate(VIEW, told))


def test_why_it_stands_there_is_said_in_the_readers_language() -> None:
    """Whoever reads only Chinese does not learn from an English sentence what happened."""
    reason = StateReason(code="EXIT_STATUS", facts={"task": "1", "exit_status": "3"})
    assert because(reason, "en") == "EXIT_STATUS: Task 1 ended with status 3; read its log"
    assert because(reason, "zh") == "EXIT_STATUS: 任务 1 以状态 3 结束，请看日志"
    unknown = StateReason(code="DATASET_UNKNOWN", facts={"name": "datasets/x"})
    assert because(unknown, "zh") == "DATASET_UNKNOWN: 输入所指的数据集不存在（name datasets/x）"
    assert because(StateReason(code="SOMETHING_NEW", facts={"detail": "x"}), "zh") == "SOMETHING_NEW: x"
    made = Decision(candidates=[CHEAP], candidate_count=1, chosen=CHEAP.pool, reason=CHOSEN)
    assert "没有其他适合的资源池" in text_of(explain.decision(CHINESE, made))


def test_a_state_says_its_name_once(capsys: pytest.CaptureFixture[str]) -> None:
    """ "DONE: DONE: results delivered" looks like a broken program."""
    following.say_change(Job(name="jobs/x", state=Job.STATE_DONE, state_reason=StateReason(code="DONE")))
    following.say_change(Job(name="jobs/x", state=Job.STATE_FAILED, state_reason=StateReason(code="SOMETHING_NEW")))
    assert capsys.readouterr().err == (
        "jobs/x DONE: Everything has run, and the results are where they are wanted\njobs/x FAILED: SOMETHING_NEW\n"
    )


def test_what_does_not_fit_shows_what_would() -> None:
    """ "Nothing fits" without a way out sends the user to the operator."""
    change = AdmittingChange(field="ask.cpu_milli", to="1000", pool="sites/b/pools/p")
    setattr(change, "from", "4000")
    made = Decision(
        candidates=[SMALL], candidate_count=25, reason=StateReason(code="NO_PLACE", facts={"pools": "25"}),
        admitting_change=change, obstacle_counts=[ObstacleCount(code=OBSTACLE_CODE_CPU, count=25)],
    )  # fmt: skip
    shown = text_of(explain.decision(VIEW, made))
    assert "nothing fits" in shown
    assert "NO_PLACE: None of 25 pools can take it now" in shown
    assert "ask.cpu_milli: 4000 → 1000 (sites/b/pools/p)" in shown
    assert "... 24 more" in shown
    assert re.search("obstacles +CPU 25", shown)


def test_every_charge_shows_its_price_and_its_trace() -> None:
    """Whoever checks a bill needs the price behind a line, and the work behind the price."""
    charge = Charge(
        payee="accounts/acme", job="jobs/j", meter=METER_CPU_US, quantity=4_000_000, amount_micros=800, currency="CNY",
        price=Price(meter=METER_CPU_US, amount_micros=720_000, per_quantity=3_600_000_000), trace_id="ab" * 16,
        price_version="priceBooks/acme@3",
    )  # fmt: skip
    shown = text_of(bill.bill(VIEW, Bill(account="accounts/a", currency="CNY", charges=[charge], total_micros=800)))
    for part in ("4000000 cpu·µs", "0.720000 / core·h", "0.000800 CNY", "ab" * 16, "acme@3", "total"):
        assert part in shown


def test_what_was_waived_is_shown_where_something_was() -> None:
    """A payee must see what it bears; everybody else needs the column for the trace."""
    paid = Charge(meter=METER_CPU_US, amount_micros=800, currency="CNY")
    capped = Charge(meter=METER_CPU_US, amount_micros=3, waived_micros=797, currency="CNY")
    assert "WAIVED" not in text_of(bill.bill(VIEW, Bill(currency="CNY", charges=[paid])))
    shown = text_of(bill.bill(VIEW, Bill(currency="CNY", charges=[paid, capped])))
    for part in ("WAIVED", "0.000000 CNY", "0.000003 CNY", "0.000797 CNY"):
        assert part in shown


def test_a_ledger_out_of_balance_says_so() -> None:
    """A sum that is not zero is the first thing an auditor looks for."""
    accounts = [
        Account(name="accounts/a", currency="CNY", balance_micros=5),
        Account(name="accounts/b", currency="CNY", balance_micros=-5),
        Account(name="accounts/c", currency="EUR", balance_micros=1),
    ]
    assert bill.sums(accounts) == {"CNY": 0, "EUR": 1}
    shown = text_of(bill.ledger(VIEW, accounts))
    assert "sum 0.000000 CNY: balanced" in shown
    assert "sum 0.000001 EUR: OUT OF BALANCE" in shown


def a_span(number: int, parent: int, name: str, at_ms: int, ms: int, service: str = "scheduler") -> Span:
    span = Span(span_id=f"{number:016x}", parent_span_id=f"{parent:016x}" if parent else "", name=name, service=service)
    span.start_time.FromMilliseconds(1_700_000_000_000 + at_ms)
    span.duration_us = ms * 1000
    return span


def test_a_trace_is_a_tree_in_the_order_of_time() -> None:
    """The line that decided a job's fate must be found by reading downwards."""
    spans = [
        a_span(3, 2, "commit", 30, 5),
        a_span(1, 0, "suanmesh.scheduler.v1.SchedulerService/SubmitJobs", 0, 100, "gateway"),
        a_span(2, 1, "decide", 10, 50),
        *(a_span(10 + n, 2, "etcd.Put", 11 + n, 1) for n in range(4)),
        a_span(99, 77, "lost", 40, 1),
    ]
    found = trace.rows(trace.forest(spans), fold=True)
    assert [(row.depth, row.label, row.offset_us // 1000) for row in found] == [
        (0, "SchedulerService/SubmitJobs", 0),
        (1, "decide", 10),
        (2, "etcd.Put ×4", 11),
        (2, "commit", 30),
        (0, "lost", 40),
    ]
    assert len(trace.rows(trace.forest(spans), fold=False)) == 8
    shown = text_of(trace.trace(VIEW, Trace(name="traces/t", spans=spans, services=["gateway", "scheduler"])))
    assert "8 spans, 2 services: gateway, scheduler" in shown
    assert "1 spans whose parent has not arrived" in shown


def test_a_deep_trace_does_not_break_the_tree() -> None:
    """A loop of calls makes a trace thousands deep exactly when somebody needs to read it."""
    spans = [a_span(n, n - 1, f"hop {n}", n, 1) for n in range(1, 3000)]
    assert trace.rows(trace.forest(spans), fold=True)[-1].depth == 2998


@pytest.mark.parametrize("kind", BY_CODE.values())
def test_every_code_has_an_exit_status(kind: type[Refusal]) -> None:
    """A script branches on the status alone."""
    expected = {"DATA_LOSS": 1, "UNIMPLEMENTED": 1}
    assert errors.exit_status(kind("X", "y")) == expected.get(kind.code, errors.EXIT_STATUS.get(kind.code))


def test_a_refusal_reads_in_both_languages() -> None:
    """Code, reason, numbers, the nearest fix and the page, whatever the language."""
    refusal = NotFound("JOB_UNKNOWN", "jobs/x does not exist", name="jobs/x")
    refusal.localized = {"en": refusal.message, "zh": "没有此作业"}
    english, chinese = errors.described(refusal, "en"), errors.described(refusal, "zh")
    assert english.splitlines() == [
        "error: NOT_FOUND JOB_UNKNOWN: jobs/x does not exist",
        "  name = jobs/x",
        "  fix: Correct the name: `suan job list` shows your jobs, `--context operator` everybody's.",
        "  help: suan explain JOB_UNKNOWN",
    ]
    assert "没有此作业" in chinese
    assert "处置" in chinese


def test_what_is_said_in_english_alone_is_kept_in_chinese() -> None:
    """That an invite was not copied whole was told in English; in Chinese some field was wrong."""
    told = errors.described(InvalidArgument("FIELD_INVALID", "invite: it is no whole invite", field="invite"), "zh")
    assert "it is no whole invite" in told


@given(st.integers(-(2**63), 2**63))
def test_money_is_shown_to_the_last_digit(amount: int) -> None:
    """A rounded amount is a wrong amount."""
    shown = units.money(amount)
    assert int(shown.replace(".", "")) == amount


@pytest.mark.parametrize(("text", "expected"), [("12.50", 12_500_000), ("0.000001", 1), ("3", 3_000_000)])
def test_an_amount_is_read_exactly(text: str, expected: int) -> None:
    """Credit what was paid in, no more and no less."""
    assert micros(text) == expected


@pytest.mark.parametrize("text", ["-1", "0", "0.0000001", "x", "NaN", "Infinity", "1e30", ""])
def test_what_is_no_amount_is_refused(text: str) -> None:
    """A slip of the finger must not move money."""
    with pytest.raises(InvalidArgument):
        micros(text)
