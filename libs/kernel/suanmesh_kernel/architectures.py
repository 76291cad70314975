"""Instruction sets, which go by several names."""

from __future__ import annotations

from typing import Final

_NAMES: Final = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


def architecture_of(name: str) -> str:
    """The name that pools are offered with; nothing for nothing."""
    known = name.lower()
    return _NAMES.get(known, known)
