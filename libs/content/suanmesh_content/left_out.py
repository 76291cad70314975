"""What of a folder a dataset cannot hold, and why: it is left out and named, and keeps nothing else away."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from suanmesh_kernel.texts import Text

NAMED_MAX = 100
"""What is named; of more there is a count."""
_SHOWN_CHARS = 100


class Why(Enum):
    """Why something is left out."""

    LINK_LEADS_OUT = Text("a link that leads out of the folder, or in a circle", "链接指向文件夹之外，或循环指向自身")
    NO_FILE = Text("neither a file, a folder nor a link", "既非文件、文件夹，也非链接")
    UNREADABLE = Text("cannot be read", "无法读取")
    CHANGES = Text("changes while it is read", "读取期间内容在变化")
    UNFINISHED = Text("a fetch that broke off has left it", "未完成的取回所留下的内容")
    TOO_DEEP = Text("lies too many folders deep", "所在文件夹层级过深")
    PATH_TOO_LONG = Text("its path is too long", "路径过长")
    TOO_LARGE = Text("larger than the disk it would lie on", "大于将要存放它的磁盘")


@dataclass
class LeftOut:
    """Paths that were left out of one folder, as they are met."""

    named: dict[str, Why] = field(default_factory=dict)
    """The first of them."""
    count: int = 0

    def add(self, path: str, why: Why) -> None:
        """One more; the same again is not counted again while it is named."""
        if path in self.named:
            return
        self.count += 1
        if len(self.named) < NAMED_MAX:
            self.named[path] = why

    def lines(self, lang: str = "en") -> list[str]:
        """For people, a line each."""
        told = [f"{shown(path)}: {why.value.of(lang)}" for path, why in self.named.items()]
        more = self.count - len(self.named)
        return [*told, Text(f"and {more} more", f"以及另外 {more} 项").of(lang)] if more else told


def shown(path: str) -> str:
    """A path as it is told to people, whatever bytes somebody named it with."""
    return repr(path if len(path) <= _SHOWN_CHARS else f"{path[:_SHOWN_CHARS]}…")
