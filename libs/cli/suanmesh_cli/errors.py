"""How a refusal reads on a terminal, and what exit status it ends with."""

from __future__ import annotations

from collections.abc import Sequence

from suanmesh_cli.terminal import safe
from suanmesh_kernel.refusals import Refusal
from suanmesh_kernel.texts import Text

ERROR = Text("error", "错误")

EXIT_STATUS = {
    "INVALID_ARGUMENT": 2,
    "NOT_FOUND": 3,
    "UNAUTHENTICATED": 4,
    "PERMISSION_DENIED": 4,
    "ALREADY_EXISTS": 5,
    "FAILED_PRECONDITION": 5,
    "ABORTED": 5,
    "RESOURCE_EXHAUSTED": 6,
    "DEADLINE_EXCEEDED": 7,
    "UNAVAILABLE": 8,
}
"""By code; 1 for every other."""


def exit_status(refusal: Refusal) -> int:
    """What a script sees."""
    return EXIT_STATUS.get(refusal.code, 1)


def described(refusal: Refusal, lang: str, *, close: Sequence[str] = ()) -> str:
    """Code, reason, text; the facts, which come in no order; names that may be meant; what to do; where to read on."""
    chinese = lang == "zh"
    lines = [safe(f"{ERROR.of(lang)}: {refusal.code} {refusal.reason}: {_text(refusal, lang)}")]
    lines += [safe(f"  {key} = {value}") for key, value in sorted(refusal.facts.items()) if value]
    if close:
        lines.append(safe(f"  {'是否指' if chinese else 'did you mean'}: {', '.join(close)}"))
    fix = _fix(refusal)
    if fix:
        lines.append(f"  {'处置' if chinese else 'fix'}: {fix.of(lang)}")
    lines.append(safe(f"  {'帮助' if chinese else 'help'}: suan explain {refusal.reason}"))
    return "\n".join(lines)


def _fix(refusal: Refusal) -> Text | None:
    """What its reason asks for; of one that a newer server has, what its code does."""
    from suanmesh_cli.texts import EXPLAINED
    from suanmesh_sdk.advice import BY_CODE
    from suanmesh_sdk.explained import of_refusal

    own = None if refusal.domain else EXPLAINED.get(refusal.reason)
    found = own or of_refusal(refusal.domain, refusal.reason)
    return found.remedy if found else BY_CODE.get(refusal.code)


def failed(fault: OSError, lang: str) -> str:
    """A file that cannot be read or written, or standard output that takes no more, on one line."""
    where = f"{fault.filename}: " if fault.filename else ""
    return safe(f"{ERROR.of(lang)}: {where}{fault.strerror or fault}")


def _text(refusal: Refusal, lang: str) -> str:
    """The refusal's own text; in Chinese, where it came with none, what its reason means, and behind it itself."""
    from suanmesh_sdk.reasons import chinese

    if lang != "zh":
        return refusal.message
    return refusal.localized.get("zh") or f"{chinese(refusal.domain, refusal.reason, {})}（{refusal.message}）"
