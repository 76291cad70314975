"""The entry point of `suanmesh-agent`."""

from __future__ import annotations

import sys

from suanmesh_kernel.extras import lacking


def main() -> None:
    """Do what the command line says, and exit."""
    if missing := lacking("agent"):
        sys.exit(f"suanmesh-agent: {missing.en}")
    from suanmesh_agent.commands import agent

    agent(prog_name="suanmesh-agent")


if __name__ == "__main__":
    main()
