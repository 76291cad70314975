"""What it costs to play a node on virtual time: `make bench AREA=scenario`.

An hour of a node with three sites, two hundred jobs and a fault every few minutes (`tests/scenario/worlds/hour.toml`),
in one process and so on one core; the ledger and the journals lie in a file system in memory. Prints one JSON object a
line, {"name", "value", "unit"}: the seconds that pass meanwhile, the processor seconds it takes, the events that were
looked at, and the violations found. Exit status 1 where there are any.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from scenario import story
from scenario.play import play


def main() -> int:
    """Measure one world; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--world", default="hour", choices=story.names())
    chosen = parser.parse_args()
    world = story.read(chosen.world)
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    outcome = play(world, chosen.seed)
    tell(f"{chosen.world}_wall", time.perf_counter() - begun_s, "s")
    tell(f"{chosen.world}_cpu", time.process_time() - cpu_s, "CPU-s")
    tell("simulated", outcome.simulated_s, "virtual s")
    tell("jobs", outcome.jobs, "jobs")
    tell("events", outcome.events, "events")
    tell("violations", len(outcome.violations), "violations")
    for violation in outcome.violations:
        print(violation, file=sys.stderr)
    return 1 if outcome.violations else 0


def tell(name: str, value: float, unit: str) -> None:
    """One line."""
    print(json.dumps({"name": name, "value": round(value, 3), "unit": unit}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
