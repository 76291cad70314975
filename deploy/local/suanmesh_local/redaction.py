"""Takes out of a text what would let its reader act as somebody else: keys, passwords, tokens, invites."""

from __future__ import annotations

import re

REDACTED = "(redacted)"
_NAMES = (
    r"(?<![\w.-])[\w.-]*(?:password|passwd|passphrase|secret|token|authorization|api[_-]?key|private[_-]?key|access[_-]?key"
    r"|credential|invite|cookie|signature)[\w.-]*"
)
_IS = r"""\\?["']?\s*[:=]\s*"""
_QUOTED = r"""\\?"(?:[^"\\]|\\.)*"|'[^']*'"""
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [^-]{1,80}-----.*?(?:-----END [^-]{1,80}-----|\Z)", re.DOTALL), REDACTED),
    (re.compile(r"suan-invite-[\w.~=-]+"), REDACTED),
    (re.compile(r"\bsjt\d+\.[\w.~=-]+"), REDACTED),
    (re.compile(r"AGE-SECRET-KEY-[\w-]+", re.IGNORECASE), REDACTED),
    (re.compile(r"(\w+://)[^/?#\s@'\",]*:[^\s\"]*@"), rf"\1{REDACTED}@"),
    (re.compile(r"(\w+://)[^/\s@'\"]+@"), rf"\1{REDACTED}@"),
    (re.compile(r"\b(bearer|basic)(\s+|%20)[\w.~+/=-]+", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(rf"((?<![\w.-])[\w.-]*headers{_IS})(?:{_QUOTED}|[^\s}}]+)", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(rf"({_NAMES}{_IS})(?:{_QUOTED}|[^\s,;}}\]]+)", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"\beyJ[\w-]{4,}\.[\w-]{4,}\.[\w-]*"), REDACTED),
    (
        re.compile(
            r"(?<![\w+/=-])(?=[\w+/-]*[A-Z])(?=[\w+/-]*[a-z])(?=[\w+/-]*\d)[A-Za-z0-9+/_-]{43,}={0,2}(?![\w+/=-])"
        ),
        REDACTED,
    ),
)
"""The last is what keys and signatures look like in base64: 32 bytes and more, of both cases and with digits; digests
and trace ids are hexadecimal and stay."""


def redacted(text: str) -> str:
    """The text without them; what is redacted already stays as it is."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text
