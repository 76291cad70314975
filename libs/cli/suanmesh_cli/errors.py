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

FIX_BY_REASON = {
    "DEADLINE_EXCEEDED": Text("give it more time with --timeout", "用 --timeout 给更多时间"),
    "STILL_RUNNING": Text("give it more time with --timeout", "用 --timeout 给更多时间"),
    "HANDSHAKE_FAILED": Text(
        "check the context's ca, cert and key: `suan ctx`",
        "检查当前上下文的 ca、cert、key：`suan ctx`",
    ),
    "ROLE_DENIED": Text(
        "use a context with the role, such as `--context operator`",
        "换用有此角色的上下文，例如 `--context operator`",
    ),
    "CONTEXT_EXISTS": Text("remove it first: `suan ctx rm`", "先删除它：`suan ctx rm`"),
    "CONTEXT_IN_USE": Text("use another one first: `suan ctx use`", "先换用另一个：`suan ctx use`"),
    "CONTEXT_MISSING": Text("`suan ctx list` shows what is known", "`suan ctx list` 显示已知的上下文"),
    "FILTER_INVALID": Text("correct the filter at the column named", "在所指的列改正过滤条件"),
    "JOB_UNKNOWN": Text("`suan job list` shows your jobs", "`suan job list` 列出你的作业"),
    "JOBS_TOO_MANY": Text("wait until some have ended, or cancel some", "等待部分作业结束，或取消部分作业"),
    "SITE_UNKNOWN": Text("`suan site list` shows the sites", "`suan site list` 列出站点"),
    "DATASET_UNKNOWN": Text("`suan data list` shows your datasets", "`suan data list` 列出你的数据集"),
    "ACCOUNT_UNKNOWN": Text("`suan account list` shows your accounts", "`suan account list` 列出你的账户"),
    "BALANCE_INSUFFICIENT": Text(
        "have the operator credit the account, or lower the job's bounds",
        "请运营方为账户充值，或降低作业的上限",
    ),
    "PROCESS_FULL": Text("repeat the same command after a while", "稍后重复同一命令"),
    "CALLS_OF_CALLER_MAX": Text("let fewer calls run at a time", "减少同时进行的调用"),
    "STREAMS_OF_CALLER_MAX": Text("close streams that nobody reads", "关闭无人读取的流"),
    "NOT_READY": Text(
        "is the mesh running? `suan dev` starts one here; else repeat the same command",
        "网是否在运行？`suan dev` 可在本机启动；否则重复同一命令",
    ),
    "LOG_NOT_READY": Text("wait until a task has started: `suan job show`", "等任务开始后再试：`suan job show`"),
    "TRACE_UNKNOWN": Text("try again in a second: spans arrive in batches", "稍等一秒再试：跨度分批到达"),
}
"""Where there is more to say than for the code in general."""


def exit_status(refusal: Refusal) -> int:
    """What a script sees."""
    return EXIT_STATUS.get(refusal.code, 1)


def described(refusal: Refusal, lang: str, *, close: Sequence[str] = ()) -> str:
    """Code, reason and text; the facts; names that may have been meant; the nearest fix; where to read on."""
    from suanmesh_sdk.advice import BY_CODE
    from suanmesh_sdk.reasons import help_url

    chinese = lang == "zh"
    lines = [safe(f"{ERROR.of(lang)}: {refusal.code} {refusal.reason}: {_text(refusal, lang)}")]
    lines += [safe(f"  {key} = {value}") for key, value in refusal.facts.items() if value]
    if close:
        lines.append(safe(f"  {'是否指' if chinese else 'did you mean'}: {', '.join(close)}"))
    fix = FIX_BY_REASON.get(refusal.reason) or BY_CODE.get(refusal.code)
    if fix:
        lines.append(f"  {'处置' if chinese else 'fix'}: {fix.of(lang)}")
    lines.append(f"  {'帮助' if chinese else 'help'}: {help_url(refusal.reason, lang)}")
    return "\n".join(lines)


def failed(fault: OSError, lang: str) -> str:
    """A file that cannot be read or written, or standard output that takes no more, on one line."""
    where = f"{fault.filename}: " if fault.filename else ""
    return safe(f"{ERROR.of(lang)}: {where}{fault.strerror or fault}")


def _text(refusal: Refusal, lang: str) -> str:
    """The refusal's own text; in Chinese, where it came with none, what its reason means."""
    from suanmesh_sdk.reasons import chinese

    if lang != "zh":
        return refusal.message
    return refusal.localized.get("zh") or chinese(refusal.domain, refusal.reason, {})
