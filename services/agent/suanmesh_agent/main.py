"""The entry point of `suanmesh-agent`."""

from __future__ import annotations

from suanmesh_agent.commands import agent


def main() -> None:
    """Do what the command line says, and exit."""
    agent(prog_name="suanmesh-agent")


if __name__ == "__main__":
    main()
