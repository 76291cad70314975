"""How a refusal reads on a terminal, and what exit status it ends with."""

from __future__ import annotations

from suanmesh_kernel.refusals import Refusal

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
    "HANDSHAKE_FAILED": (
        "check the context's ca, cert and key: `suan ctx`",
        "检查当前上下文的 ca、cert、key：`suan ctx`",
    ),
    "ROLE_DENIED": (
        "use a context with the role, such as `--context operator`",
        "换用有此角色的上下文，例如 `--context operator`",
    ),
    "CONTEXT_MISSING": ("`suan ctx` shows what is known", "`suan ctx` 显示已知的上下文"),
    "FILTER_INVALID": ("correct the filter at the column named", "在所指的列改正过滤条件"),
    "JOB_UNKNOWN": ("`suan job list` shows your jobs", "`suan job list` 列出你的作业"),
    "JOBS_TOO_MANY": ("wait until some have ended, or cancel some", "等待部分作业结束，或取消部分作业"),
    "SITE_UNKNOWN": ("`suan site list` shows the sites", "`suan site list` 列出站点"),
    "DATASET_UNKNOWN": ("`suan dataset list` shows your datasets", "`suan dataset list` 列出你的数据集"),
    "ACCOUNT_UNKNOWN": ("`suan account list` shows your accounts", "`suan account list` 列出你的账户"),
    "BALANCE_INSUFFICIENT": (
        "have the operator credit the account, or lower the job's bounds",
        "请运营方为账户充值，或降低作业的上限",
    ),
    "NOT_READY": (
        "is the mesh running? `suan dev` starts one here; else repeat the same command",
        "网是否在运行？`suan dev` 可在本机启动；否则重复同一命令",
    ),
    "LOG_NOT_READY": ("wait until a task has started: `suan job show`", "等任务开始后再试：`suan job show`"),
    "TRACE_UNKNOWN": ("try again in a second: spans arrive in batches", "稍等一秒再试：跨度分批到达"),
}
FIX_BY_CODE = {
    "INVALID_ARGUMENT": ("fix the request", "改正请求"),
    "UNAUTHENTICATED": ("show who you are: `suan ctx`", "出示身份：`suan ctx`"),
    "PERMISSION_DENIED": ("get the right first", "先取得权限"),
    "NOT_FOUND": ("correct the name", "改正名称"),
    "ALREADY_EXISTS": ("choose another name", "换一个名称"),
    "FAILED_PRECONDITION": ("change the named state first", "先改变所指的状态"),
    "ABORTED": ("read again, then redo", "重新读取后再做"),
    "RESOURCE_EXHAUSTED": ("wait, or ask for less", "等待，或减少需求"),
    "DEADLINE_EXCEEDED": ("give it more time with --timeout", "用 --timeout 给更多时间"),
    "UNAVAILABLE": ("repeat the same command", "重复同一命令"),
}


def exit_status(refusal: Refusal) -> int:
    """What a script sees."""
    return EXIT_STATUS.get(refusal.code, 1)


def described(refusal: Refusal, lang: str) -> str:
    """Code, reason and text; the facts; the nearest fix; where to read on."""
    from suanmesh_sdk.reasons import CHINESE, help_url

    chinese = lang == "zh"
    text = refusal.localized.get("zh", refusal.message) if chinese else refusal.message
    lines = [f"{'错误' if chinese else 'error'}: {refusal.code} {refusal.reason}: {text}"]
    lines += [f"  {key} = {value}" for key, value in refusal.facts.items() if value]
    fix = FIX_BY_REASON.get(refusal.reason) or FIX_BY_CODE.get(refusal.code)
    if fix:
        lines.append(f"  {'处置' if chinese else 'fix'}: {fix[1] if chinese else fix[0]}")
    if any(refusal.reason in known for known in CHINESE.values()):
        lines.append(f"  {'帮助' if chinese else 'help'}: {help_url(refusal.reason, lang)}")
    return "\n".join(lines)
