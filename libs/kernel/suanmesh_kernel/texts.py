"""A sentence for people, who read English or Chinese."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

COMMANDING: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What commands a terminal, turns the direction of writing so that a text reads as another, or breaks the line."""
UNSHOWABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\ufffe\uffff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
"""What no name shown to people may hold, since it makes two names look alike, or one like nothing: what Unicode has as
control, format, private, half and no characters, breaks of lines, and all that is ignored by default, such as selectors
of variants and fillers (RFC 8264, 9.13). The joiners are among it, which some words need: see `first_unshowable`."""
JOINERS: Final = "\u200c\u200d"


def first_unshowable(text: str) -> re.Match[str] | None:
    """The first of a text that names shown to people may not hold; None where there is none.

    Joiners may stand where they change how letters are written, such as in Persian and Hindi (RFC 5892, A.1 and A.2).
    """
    if text.isascii() and text.isprintable():
        return None
    return next((found for found in UNSHOWABLE.finditer(text) if not _joins(text, found)), None)


def with_escapes(text: str, escape: Callable[[str], str]) -> str:
    """`text` with an escape in the place of each of its characters that `first_unshowable` would find."""
    while first_unshowable(text) is not None:  # again, since what is escaped may have been what a joiner stood beside
        text = UNSHOWABLE.sub(partial(_escaped, text, escape), text)
    return text


def _escaped(text: str, escape: Callable[[str], str], found: re.Match[str]) -> str:
    return found[0] if _joins(text, found) else escape(found[0])


def _joins(text: str, found: re.Match[str]) -> bool:
    if found[0] not in JOINERS:
        return False
    from idna.core import valid_contextj  # costs 60 ms, and hardly any name needs it

    try:
        return valid_contextj(text, found.start())
    except ValueError:  # beside a character that Unicode does not have
        return False


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
