"""Which facts come with each reason, read from the code that gives it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from suanmesh_sdk.advice import STATE_REASONS
from suanmesh_sdk.obstacles import OBSTACLES
from suanmesh_sdk.reasons import CHINESE, is_reason
from suanmesh_sdk.state_reasons import named

NO_FACTS = frozenset(("domain", "retry_delay_s", "cause"))
"""What a call is given besides."""
STATE, OBSTACLE = "state", "obstacle"
OF_CLIENTS = "cli.suanmesh"
_OURS = ("cli", "client")


def facts(root: Path) -> dict[tuple[str, str], list[str]]:
    """Names of facts by domain, or `state` or `obstacle`, and code."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for code, text in STATE_REASONS.items():
        found.setdefault((STATE, code), {}).update(dict.fromkeys(sorted(named(text.en))))
    for code, obstacle in OBSTACLES.items():
        for sentence in obstacle.sentences:
            found.setdefault((OBSTACLE, code), {}).update(dict.fromkeys(sorted(named(sentence.en))))
    for path in sorted([*root.glob("libs/*/suanmesh_*/**/*.py"), *root.glob("services/*/suanmesh_*/**/*.py")]):
        area = next(part for part in path.parts if part.startswith("suanmesh_")).removeprefix("suanmesh_")
        if path.name in ("testing.py", "fakes.py"):
            continue
        for key, names in _given(ast.parse(path.read_text()), area):
            found.setdefault(key, {}).update(dict.fromkeys(names))
    return {key: list(names) for key, names in found.items()}


def _given(tree: ast.Module, area: str) -> Iterator[tuple[tuple[str, str], list[str]]]:
    """Every reason that is given in a module, and with which facts."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        first, rest = _reason(call)
        kind = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
        if kind == "StateReason" and first:
            keys = [key.value for each in rest if isinstance(each, ast.Dict) for key in each.keys if _is_text(key)]
            yield (STATE, first), [str(key) for key in keys]
        elif first and (kind[:1].isupper() or kind in ("refusal", "__init__")):
            names = [word.arg for word in call.keywords if word.arg and word.arg not in NO_FACTS]
            for domain in _domains(call, area, first):
                yield (domain, first), names


def _reason(call: ast.Call) -> tuple[str, list[ast.expr]]:
    """The code a call begins with, and its other arguments; the first may be the kind of refusal that is made."""
    arguments = list(call.args)
    if len(arguments) > 1 and isinstance(arguments[0], ast.Name) and arguments[0].id[:1].isupper():
        arguments = arguments[1:]
    first = arguments[0] if arguments else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.isupper():
        return first.value, arguments[1:]
    return "", []


def _domains(call: ast.Call, area: str, reason: str) -> list[str]:
    """Where it is given: what a library gives is of whichever area knows it that uses the library."""
    told = next((word.value for word in call.keywords if word.arg == "domain"), None)
    if isinstance(told, ast.Constant) and told.value:
        return [str(told.value)]
    if area in _OURS:
        return [OF_CLIENTS]
    if is_reason(area, reason):
        return [f"{area}.suanmesh"]
    return [f"{each}.suanmesh" for each, texts in CHINESE.items() if reason in texts and area not in CHINESE] or [
        "mesh.suanmesh"
    ]


def _is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
