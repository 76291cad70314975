"""Texts of systemd's units: words that mean nothing else there, and what every service of ours is shut in by."""

from __future__ import annotations

SHUT_IN = """UMask=0077
LimitNOFILE=65536
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelModules=yes
NoNewPrivileges=yes
AmbientCapabilities=
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""
"""Settings of the section `Service`; it writes where its unit says, and gains no privilege."""


def path(text: str) -> str:
    """A file in a setting that takes one alone, in which only `%` means something."""
    return text.replace("%", "%%")


def word(text: str) -> str:
    """One word of a setting: `%` and `$` mean something there, and a space ends it."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{plain}"' if plain != text or any(each.isspace() for each in text) else text
