"""What keeps the code readable: sizes, names and words."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Repository


MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
MAIN_LINES_MAX = 40
"""Blank lines do not count."""
NO_NOUNS = frozenset(("base", "common", "helper", "helpers", "manager", "misc", "shared", "util", "utils"))
UNFINISHED = ("TO" + "DO", "FIX" + "ME", "Not" + "ImplementedError", "XX" + "X:")
HOLLOW = re.compile(
    r"\b(" + "|".join(("robust", "seamless", "comprehensive", "leverag", "delv", "cutting-edge", "blazing")) + r")\w*",
    re.IGNORECASE,
)
EMOJI = re.compile("[\U0001f300-\U0001faff\u2705\u274c\u2b50\u26a0\u2728]")

INSTEAD = {
    "参与方": "主体",
    "租户": "主体",
    "您": "你",
    "数据中心": "站点",
    "标识符": "标识",
    "决策": "裁决",
    "放置": "落位",
    "预订": "预约",
    "秘密": "机密",
    "沙盒": "沙箱",
    "执行器": "执行引擎",
    "主节点": "主实例",
    "隧道": "中继",
    "透传": "直通",
    "哈希": "摘要",
    "价目表": "价目",
    "价格表": "价目",
    "发票": "账单",
    "颁发": "签发",
    "撤销": "吊销",
    "轮换": "更换",
}
"""What is easily written in the place of a term of the glossary, and that term."""


def test_modules_stay_short(repository: Repository) -> None:
    """A reader with one failing job should not have to scroll through a module to find the line that decided it."""
    long = {s.path: lines for s in repository.python if (lines := s.text.count("\n")) > MODULE_LINES_MAX}

    assert not long


def test_functions_stay_short(repository: Repository) -> None:
    """A function that does not fit a screen hides a rule that nobody can find or test."""
    long = {
        f"{s.path}:{node.lineno} {node.name}": lines
        for s in repository.python
        for node in ast.walk(s.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (lines := _lines(node)) > FUNCTION_LINES_MAX
    }

    assert not long


def test_mains_only_build(repository: Repository) -> None:
    """Whoever asks what a process is made of reads its main.py; a rule in there would be missed."""
    long = {
        s.path: lines
        for s in repository.under("services/")
        if s.name == "main" and (lines := sum(map(bool, s.text.splitlines()))) > MAIN_LINES_MAX
    }

    assert not long


def test_modules_are_named_after_a_noun(repository: Repository) -> None:
    """A module named after nothing collects everything."""
    nameless = [s.path for s in repository.python if s.name in NO_NOUNS]

    assert not nameless


def test_nothing_is_left_unfinished(repository: Repository) -> None:
    """A user who meets a placeholder was promised something that is not there."""
    found = [f"{s.path}: {word}" for s in repository.sources for word in UNFINISHED if word in s.text]

    assert not found


def test_only_chassis_and_telemetry_catch_everything(repository: Repository) -> None:
    """A defect that is caught and passed over is found by a customer; only the chassis turns one into an answer.

    Telemetry turns one into a count, since what only tells of a call must not fail it.
    """
    found = [
        f"{s.path}:{node.lineno}"
        for s in repository.product
        if not s.path.startswith(("libs/chassis/", "libs/telemetry/"))
        for node in ast.walk(s.tree)
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node) and not _raises_again(node)
    ]

    assert not found


def test_prose_says_something(repository: Repository) -> None:
    """Words that fit any product tell a reader nothing about this one."""
    prose = [s for s in repository.sources if s.path.endswith((".md", ".py", ".proto")) and "test_sizes" not in s.path]
    found = [f"{s.path}: {hit[0]}" for s in prose if (hit := HOLLOW.search(s.text) or EMOJI.search(s.text))]

    assert not found


def test_chinese_texts_use_the_words_of_the_glossary(repository: Repository) -> None:
    """Somebody who reads of one thing under two names looks for the second thing."""
    told = [s for s in repository.sources if not s.path.startswith(("tests/", "bench/"))]
    found = [f"{s.path}: {word}, not {INSTEAD[word]}" for s in told for word in INSTEAD if word in s.text]

    assert not found


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    first = node.body[0]
    docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    documented = (first.end_lineno or 0) - first.lineno + 1 if docstring else 0
    return (node.end_lineno or node.lineno) - node.lineno + 1 - documented


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")) for kind in kinds
    )
