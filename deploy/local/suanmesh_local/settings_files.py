"""The files that say how to talk to a node, and how to start its processes by other means than the launcher."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from suanmesh_kernel.private import private_folder, write_private
from suanmesh_local.facts import NodeFacts
from suanmesh_local.identities import Identities


def write_contexts(
    folder: Path,
    facts: NodeFacts,
    gateway: str,
    identities: Identities,
    *,
    current: str = "operator",
    account: str = "",
) -> None:
    """`config.toml`: a context for each user whose key is here. Raises OSError."""
    lines = [f"current = {json.dumps(current)}"]
    for _, user in facts.users:
        home = identities.of(user)
        lines += ["", f"[contexts.{user}]", f'gateway = "{gateway}"', f'node = "{facts.name}"']
        # A JSON string is a TOML string: a folder may have quotes in its name.
        lines += [f"{kind} = {json.dumps(str(home / f'{kind}.pem'))}" for kind in ("ca", "cert", "key")]
        lines += [f"account = {json.dumps(account)}"] if account else []
    write_private(folder / "config.toml", ("\n".join(lines) + "\n").encode())


def write_environment(file: Path, environment: Mapping[str, str]) -> None:
    """A process' settings, as a shell and systemd's EnvironmentFile read them. Raises OSError."""
    private_folder(file.parent)
    lines = [f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items())]
    write_private(file, ("\n".join(lines) + "\n").encode())
