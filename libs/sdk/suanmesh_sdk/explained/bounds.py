"""The bounds of calls, messages and streams that every service has."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

EXPLAINED: Final[dict[str, Explanation]] = {
    "MESSAGE_TOO_LARGE": Explanation(
        "caller",
        Text(
            "A message is larger than `limit_bytes`: 4 MiB with a certificate, 64 KiB without.",
            "消息超过 `limit_bytes`：有证书时为 4 MiB，无证书时为 64 KiB。",
        ),
        Text(
            "Send less in one call: split a batch, or bring large content as a dataset with `suan data put`.",
            "减少单次调用的内容：拆分批次，或用 `suan data put` 把大块内容作为数据集上传。",
        ),
        ("suan data put",),
    ),
    "DEADLINE_MISSING": Explanation(
        "caller",
        Text(
            "A call that is answered once carries no deadline, so that a server could work on it for ever.",
            "只答复一次的调用没有期限，服务器可能永远为其工作。",
        ),
        Text(
            "Set a deadline with the call; the SDK takes it from `timeout_s`, the command line from `--timeout`.",
            "为调用设置期限；SDK 取自 `timeout_s`，命令行取自 `--timeout`。",
        ),
    ),
    "DEADLINE_TOO_SHORT": Explanation(
        "caller",
        Text(
            "Fewer than 2 ms were left when the call reached the server, too little to begin anything.",
            "调用到达服务器时剩余不足 2 毫秒，不足以开始任何工作。",
        ),
        Text(
            "Give it more time with `--timeout`; where the time should do, look for what took it on the way with "
            "`suan trace show`.",
            "用 `--timeout` 给更多时间；若时间本应足够，用 `suan trace show` 查看时间耗在何处。",
        ),
        ("suan trace show",),
    ),
    "STREAM_STALLED": Explanation(
        "caller",
        Text(
            "The reader has taken nothing of an open stream for `seconds`, and the server holds no memory for it "
            "any longer.",
            "读取方已有 `seconds` 秒未读取打开的流，服务器不再为其保留内存。",
        ),
        Text(
            "Open the stream again and read it as it comes; what is slow belongs into a file first.",
            "重新打开流并随到随读；处理缓慢的内容先写入文件。",
        ),
    ),
    "CALLS_OF_CALLER_MAX": Explanation(
        "caller",
        Text(
            "This principal has as many calls under way at one process as it may, 32 unless configured, or its "
            "party has its share.",
            "此身份在一个进程上进行中的调用已达上限（默认 32），或其主体已用完份额。",
        ),
        Text(
            "Let fewer calls run at a time, and put many items into one batch call.",
            "减少同时进行的调用，把多个条目放入一次批量调用。",
        ),
    ),
    "STREAMS_OF_CALLER_MAX": Explanation(
        "caller",
        Text(
            "This principal has as many streams open at one process as it may, 16 unless configured, or its party "
            "has its share.",
            "此身份在一个进程上打开的流已达上限（默认 16），或其主体已用完份额。",
        ),
        Text(
            "Close streams that nobody reads: `--watch` and `--follow` that run elsewhere count, too.",
            "关闭无人读取的流；在别处运行的 `--watch` 和 `--follow` 也计算在内。",
        ),
    ),
    "BYTES_OF_CALLER_MAX": Explanation(
        "caller",
        Text(
            "As many bytes of this principal are on their way into one process as may be, 8 MiB unless configured.",
            "此身份正在进入一个进程的字节已达上限（默认 8 MiB）。",
        ),
        Text("Send large messages one after another.", "逐个发送大消息。"),
    ),
    "PROCESS_FULL": Explanation(
        "mesh",
        Text(
            "The process has as much under way for all callers together as it takes.",
            "该进程为全部调用者同时处理的工作已达上限。",
        ),
        Text(
            "Repeat the same command after a while; the SDK waits as long as it is told to.",
            "稍后重复同一命令；SDK 会按所示时间等待。",
        ),
    ),
    "MESSAGE_LATE": Explanation(
        "caller",
        Text(
            "A message took longer to arrive than one may, 10 s with a certificate, 3 s without: the line is slow, "
            "or the sender stopped.",
            "消息到达所用时间超过上限（有证书 10 秒，无证书 3 秒）：线路缓慢，或发送方中途停止。",
        ),
        Text("Repeat it over a better line, or send less in one message.", "换较好的线路重试，或减少单个消息的内容。"),
    ),
}
"""By reason."""
