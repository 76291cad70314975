"""Jobs as programs describe them: what is meant is what is sent, or it is refused."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh_client import Input, Job, Output, Setup, sweep
from suanmesh_client.descriptions import to_message
from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_sdk.commands import needs_shell, words_of


def test_a_line_is_a_command_as_in_a_job_file() -> None:
    """A text is a sequence of letters to Python: the task would run `p` with the arguments `y`, `t`, `h`..."""
    (plain,) = to_message(Job(command="python3 train.py --lr 0.1")).package.variants
    (piped,) = to_message(Job(command="python3 train.py | tee out/log")).package.variants
    assert list(plain.command) == ["python3", "train.py", "--lr", "0.1"]
    assert list(piped.command) == ["/bin/sh", "-ec", "python3 train.py | tee out/log"]


@settings(max_examples=25, deadline=None)
@given(st.text(" ab-'\"\\#~=.{}", min_size=1, max_size=12))
def test_what_needs_no_shell_is_what_a_shell_would_run(line: str) -> None:
    """Whoever tries a line at home must not find that it means something else at a site."""
    try:
        words = words_of(f"printf '%s\\n' {line}")
    except ValueError:
        return
    if needs_shell(f"printf '%s\\n' {line}"):
        return
    ran = subprocess.run(["/bin/sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=False)
    assert ran.stdout.splitlines() == (words[2:] or [""])


def test_names_are_taken_as_the_command_line_takes_them() -> None:
    """What works in a job file would be refused in a program."""
    message = to_message(
        Job(
            command=["x"],
            account="demo",
            inputs=[Input("digits@2", "in"), Input("datasets/other", "more")],
            outputs=[Output("model", deliver_to="wuhu")],
            allow_sites=["wuhu", "sites/guiyang"],
            deny_sites=["shanghai"],
        )
    )
    assert message.account == "accounts/demo"
    assert [each.dataset for each in message.inputs] == ["datasets/digits@2", "datasets/other"]
    assert message.outputs[0].deliver_to == "sites/wuhu"
    assert list(message.constraints.allow_sites) == ["sites/wuhu", "sites/guiyang"]
    assert list(message.constraints.deny_sites) == ["sites/shanghai"]


@pytest.mark.parametrize(("budget", "micros"), [(1.1, 1_100_000), (2, 2_000_000), (0.29, 290_000)])
def test_a_budget_is_what_was_written(budget: float, micros: int) -> None:
    """1.1 times a million is a little more than what was meant, and was refused for that."""
    assert to_message(Job(command=["x"], budget=budget)).constraints.budget_micros == micros


def test_numbers_stand_for_themselves() -> None:
    """`[sleep, 5]` and `retry: 3` of a job file would be refused in a program."""
    message = to_message(Job(command=["sleep", 5], retry=3))  # type: ignore[list-item]
    assert list(message.package.variants[0].command) == ["sleep", "5"]
    assert message.task.retry.times == 3


def test_numbers_are_values_of_variables_and_labels() -> None:
    """`{"EPOCHS": 3}` is what everybody writes first."""
    message = to_message(Job(command=["x"], environment={"EPOCHS": 3}, labels={"lr": 0.1}))  # type: ignore[dict-item]
    assert (message.environment["EPOCHS"], message.labels["lr"]) == ("3", "0.1")


@pytest.mark.parametrize(
    ("described", "field"),
    [
        (lambda: Job(command=["x"], allow_sites="wuhu"), "allow_sites"),
        (lambda: Job(command=["x"], deny_sites="wuhu"), "deny_sites"),
        (lambda: Job(command=["x"], residency="CN"), "residency"),
        (lambda: Job(command=["x"], setup=Setup(run="make")), "setup.run"),
        (lambda: Job(command=["x"], setup=Setup(python="numpy")), "setup.python"),
        (lambda: Job(command=["x"], parameters={"lr": "0.1"}), "parameters.lr"),
        (lambda: Job(command=["x"], parameters=sweep(lr="0.1")), "lr"),
        (lambda: Job(command="a 'b"), "command"),
        (lambda: Job(command=["x"], cores=float("nan")), "cores"),
        (lambda: Job(command=["x"], parameters={"lr": []}), "parameters"),
        (lambda: Job(command=["x"], cores=1e30), "job"),
        (lambda: Job(command=["x"], memory_bytes=1 << 70), "job"),
        (lambda: Job(command=["x"], budget=Decimal("1e30")), "job"),
        (lambda: Job(command=["\udcff"]), "job"),
    ],
)
def test_what_no_message_can_carry_is_refused(described: Callable[[], Job], field: str) -> None:
    """`allow_sites="wuhu"` are four sites of one letter each; a ValueError of protobuf names nothing."""
    with pytest.raises(InvalidArgument) as refused:
        to_message(described())
    assert refused.value.facts["field"] == field


def test_a_shell_is_quoted_as_it_was_written() -> None:
    """A quotation that is split and joined again may be another command."""
    line = "grep 'a | b' data/*.txt > out/found"
    assert words_of(line)[2] == line
    assert words_of(shlex.join(["echo", "a | b", "$HOME"])) == ["echo", "a | b", "$HOME"]
