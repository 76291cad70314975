"""What an encrypted backup is refused with."""

from __future__ import annotations

from typing import Final

from suanmesh_kernel.texts import Explanation, Text

_ANOTHER = Text(
    "Take another copy of the file: what was encrypted cannot be read in part. `suan node check FILE --identity KEY` "
    "says whether one is whole.",
    "换用该文件的另一份拷贝：加密的内容不能只读出一部分。`suan node check FILE --identity KEY` 可说明其是否完整。",
)

EXPLAINED: Final[dict[str, Explanation]] = {
    "BACKUP_KEY_MISSING": Explanation(
        "operator",
        Text(
            "The backup is one encrypted file, and no key was given, or the file that was named has none.",
            "备份是一个加密文件，而未给出密钥，或所给文件中没有密钥。",
        ),
        Text(
            "Name the file with the key by `--identity`: what `suan node backup-key` or `age-keygen` wrote.",
            "用 `--identity` 指明存有密钥的文件，即 `suan node backup-key` 或 `age-keygen` 写出的文件。",
        ),
        ("suan node restore", "suan node check"),
    ),
    "BACKUP_KEY_WRONG": Explanation(
        "operator",
        Text(
            "None of the keys in the file opens the backup: it was encrypted to others. The first lines of a backup "
            "say to whom, so that one which was altered there is refused like this too.",
            "文件中的密钥都打不开备份：它是对其他公钥加密的。备份开头数行记载对谁加密，因此该处被改动的备份也会如此拒绝。",
        ),
        Text(
            "Use the key whose recipient was given to `suan node backup --recipient`; a key that is lost cannot be "
            "replaced.",
            "使用与 `suan node backup --recipient` 所给公钥对应的密钥；密钥丢失后无法补救。",
        ),
        ("suan node restore",),
    ),
    "BACKUP_TRUNCATED": Explanation(
        "operator",
        Text(
            "The file ends before what was encrypted does, or its last part was altered; as after a copy that broke "
            "off or a disk that was full.",
            "文件在加密内容结束之前就结束了，或其末尾部分被改动；例如拷贝中断或磁盘已满之后。",
        ),
        _ANOTHER,
        ("suan node check",),
    ),
    "BACKUP_ALTERED": Explanation(
        "operator",
        Text(
            "Some of the file is not what was written: it was changed by somebody, or by the disk that it lay on.",
            "文件中有部分内容与写成时不同：被人改动，或被所在磁盘损坏。",
        ),
        _ANOTHER,
        ("suan node check",),
    ),
}
"""By reason."""
