"""A sentence for people, who read English or Chinese."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

UNSHOWABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What no name shown to people may hold: control characters, which command a terminal; marks that turn the direction of
writing, so that a text reads as another; breaks of lines; half characters."""


class Text(NamedTuple):
    """One sentence in both languages."""

    en: str
    zh: str

    def of(self, lang: str) -> str:
        """The sentence in `lang`: `zh`, or anything else for English."""
        return self.zh if lang == "zh" else self.en


class Explanation(NamedTuple):
    """Who brings something about, by what, and what to do about it."""

    by: str
    """`caller`, `agent`, `operator`, `service`, or `mesh` where it is nobody's doing."""
    cause: Text
    remedy: Text
    commands: tuple[str, ...] = ()
    """Those of `suan` that help, without their arguments."""
