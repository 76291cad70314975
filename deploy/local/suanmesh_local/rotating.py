"""`suan node rotate`: another authority takes the place of a node's, with an overlap in which both are trusted."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from suanmesh_chassis.authorities import UnderWay
from suanmesh_chassis.ca import LEAF_DAYS, USER_DAYS
from suanmesh_local.facts import FILE as FACTS
from suanmesh_local.facts import NodeFacts, read_facts
from suanmesh_local.identities import Identities, rotate_authority
from suanmesh_local.launcher import said_of, tell
from suanmesh_local.node import NODE

SHOWN = "%Y-%m-%d %H:%M UTC"


def main(folder: Path, overlap_days: float) -> int:
    """Begin it for the node in `folder`, whether it runs or not. Answers the exit status."""
    try:
        facts = read_facts(folder) if (folder / FACTS).exists() else NodeFacts(NODE)
        turn = rotate_authority(Identities(folder / "tls", facts.name), timedelta(days=overlap_days))
    except (UnderWay, ValueError, OSError) as fault:
        print(f"suan node rotate: {said_of(fault)}", file=sys.stderr)
        return 1
    tell("trusted", "the next authority is trusted from now on, beside the one that issues")
    how = "`suan node run` starts its members anew; those started otherwise are to be, one after another, before"
    tell("etcd", f"{how} {turn.issues_from:{SHOWN}}")
    if others := [host for host in facts.machines if host != facts.host]:
        tell("machines", f"copy {folder / 'tls' / 'ca'} to the same place on {', '.join(others)} today: they issue too")
    tell("issues", f"from {turn.issues_from:{SHOWN}} on: {_known_by_then(overlap_days)}")
    tell("alone", f"from {turn.alone_from:{SHOWN}} on: then the authority before is trusted no more")
    return 0


def _known_by_then(overlap_days: float) -> str:
    """Who is told of the next authority before it issues: whoever renews."""
    lives = {"services and sites": LEAF_DAYS, "users": USER_DAYS}
    late = [
        f"{who}, whose certificates are good for {days:g} days" for who, days in lives.items() if overlap_days < days
    ]
    if not late:
        return "by then everybody whose certificate is good has renewed it"
    return f"those of {', and of '.join(late)}, who have not renewed by then refuse the node, and join again"
