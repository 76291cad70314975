"""`make test-chaos`: hurt a node for some minutes by a seed, then judge its books. Exit status 1 on any violation."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from chaos import books, collecting, remains
from chaos.clients import Client
from chaos.facts import Facts
from chaos.nemesis import Nemesis
from chaos.recording import Placements, Runs
from chaos.records import Journal
from chaos.schedule import Fault, schedule
from chaos.world import PARTIES, ChaosNode, disks, disks_mounted

BUILD = Path(__file__).resolve().parents[2] / "build" / "chaos"
ANSWERS_S_MAX = 60.0
"""How long after the faults unanswered calls are made again."""
QUIET_S_MAX = 180.0
"""How long after that everything may take to come to rest."""
SHOWN_MAX = 12
REASON_LENGTH_MAX = 200


def main(arguments: list[str] | None = None) -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--plan", action="store_true", help="only show the faults")
    chosen = parser.parse_args(arguments)
    return asyncio.run(run(chosen.seed, chosen.minutes, BUILD, plan=chosen.plan))


async def run(seed: int, minutes: float, build: Path, *, plan: bool = False) -> int:
    """One run with its summary in `build`/<seed>.json; 0 when all books are right."""
    folder = build / f"{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    chosen = disks(folder)
    journal = Journal()
    with disks_mounted(folder, chosen):
        node = ChaosNode(folder, chosen)
        faults = schedule(seed, minutes * 60, node.actors)
        if plan:
            print("\n".join(f"{fault.begin_s:6.1f} to {fault.end_s:6.1f} s  {fault.text()}" for fault in faults))
            return 0
        tell = Teller(folder / "chaos.log")
        tell(f"seed {seed}, {minutes:g} minutes, {len(faults)} faults, disks {', '.join(chosen) or 'none (not root)'}")
        facts = Facts(journal)
        nemesis = await _hurt(seed, minutes, node, faults, facts, tell)
        facts.ledger = remains.ledger_of(folder / "services" / "accounting" / "ledger.sqlite")
        facts.log_defects = remains.log_defects(folder / "logs")
    facts.left = remains.left_behind(folder, {change.placement for change in facts.changes})
    return report(seed, minutes, facts, nemesis, build)


async def _hurt(
    seed: int, minutes: float, node: ChaosNode, faults: tuple[Fault, ...], facts: Facts, tell: Teller
) -> Nemesis:
    """Start the node, let clients and faults loose, wait for rest, collect, stop."""
    nemesis = Nemesis(node, faults, tell)
    placements, runs = Placements(node), Runs(node)
    async with node, asyncio.TaskGroup() as watching:
        watchers = [watching.create_task(placements.run()), watching.create_task(runs.run())]
        facts.before = collecting.measured(node)
        until = time.monotonic() + minutes * 60
        clients = _clients(seed, node, facts.journal)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(nemesis.run())
            for client in clients:
                tasks.create_task(client.run(until, until + ANSWERS_S_MAX))
        supervising = watching.create_task(nemesis.supervise())
        for client in clients:
            await client.give_up(until + ANSWERS_S_MAX)
        async with node.mesh("operator") as operator:
            facts.unquiet = await collecting.quiet(node, operator, QUIET_S_MAX, tell)
            facts.held = await collecting.held_now(node, operator)
            await collecting.collect(facts, operator)
        facts.tasks_left, facts.after = collecting.tasks_now(node), collecting.measured(node)
        runs.look()
        for task in (supervising, *watchers):
            task.cancel()
        for client in clients:
            await client.close()
    facts.changes, facts.runs = placements.changes, runs.found
    facts.deaths = [f"{d.name} with {d.status} at {d.at_s} s, {', '.join(d.under) or 'unhurt'}" for d in nemesis.deaths]
    return nemesis


def _clients(seed: int, node: ChaosNode, journal: Journal) -> list[Client]:
    folder = node.folder / "published"
    return [
        Client(user, party, seed, node.mesh(user), node, journal, folder)
        for party, users in PARTIES.items()
        for user in users
    ]


def report(seed: int, minutes: float, facts: Facts, nemesis: Nemesis, build: Path) -> int:
    """Say what each book comes to, write the summary, and how to see it again; the exit status."""
    found = books.judged(facts)
    wrong = sum(map(len, found.values()))
    summary = summary_of(seed, minutes, facts, nemesis, found)
    path = build / f"{seed}.json"
    path.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    (build / f"{seed}.journal.json").write_text(json.dumps(facts.journal.facts(), ensure_ascii=False) + "\n")
    for key in ("jobs", "faults", "answers"):
        print(f"{key}: {json.dumps(summary[key], ensure_ascii=False)}")
    for name, violations in found.items():
        print(f"{name:<14} {'right' if not violations else f'{len(violations)} violations'}")
        for violation in violations[:SHOWN_MAX]:
            print(f"    {violation}")
    print(f"summary in {path}")
    if wrong:
        print(f"{wrong} violations; once more with: make test-chaos SEED={seed} MINUTES={minutes:g}")
    return 1 if wrong else 0


def summary_of(
    seed: int, minutes: float, facts: Facts, nemesis: Nemesis, found: dict[str, list[str]]
) -> dict[str, Any]:
    """The run in figures."""
    kinds = {each.marker: each.kind for each in facts.journal.asked}
    return {
        "seed": seed,
        "minutes": minutes,
        "jobs": {
            "by_state": Counter(job.state for job in facts.jobs),
            "by_kind": Counter(kinds.get(job.marker, "unasked") for job in facts.jobs),
            "failed_for": Counter(job.reason[:REASON_LENGTH_MAX] for job in facts.jobs if job.state == "FAILED"),
            "placements": len({change.placement for change in facts.changes}),
            "lost": sum(change.state == "LOST" for change in facts.changes),
            "runs": len(facts.runs),
        },
        "faults": nemesis.done,
        "deaths": facts.deaths,
        "answers": {
            "repeats": facts.journal.repeats,
            "refusals": facts.journal.refusals,
            "unanswered": facts.journal.unanswered,
        },
        "datasets": len(facts.datasets),
        "transfers": Counter(facts.transfers.values()),
        "transfers_failed_for": Counter(reason[:REASON_LENGTH_MAX] for reason in facts.transfer_reasons),
        "charges": len(facts.ledger.charges),
        "violations": found,
    }


class Teller:
    """Says what happens, on the terminal and in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, text: str) -> None:
        """Say it."""
        print(text, flush=True)
        with self._file.open("a") as log:
            log.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
