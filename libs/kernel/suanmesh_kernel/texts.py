"""A sentence for people, who read English or Chinese."""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """One sentence in both languages."""

    en: str
    zh: str

    def of(self, lang: str) -> str:
        """The sentence in `lang`: `zh`, or anything else for English."""
        return self.zh if lang == "zh" else self.en
