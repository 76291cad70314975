"""`make test-scenarios`: play worlds by seeds. Exit status 1 on any violation, with the command that plays it again."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

from scenario import story
from scenario.play import Outcome, play

SHOWN_MAX = 8
BRIEF_MAX = 200


def main(arguments: list[str] | None = None) -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="scenario", description=__doc__)
    parser.add_argument("--world", choices=story.names(), help="only this world; else all but the hour, in turn")
    parser.add_argument("--seed", type=int, help="only this seed, and tell what happens")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of texts would have another order each time
        again = [sys.executable, "-m", "scenario", *(sys.argv[1:] if arguments is None else arguments)]
        os.execve(sys.executable, again, {**os.environ, "PYTHONHASHSEED": "0"})
    if chosen.seed is not None:
        return _one(chosen.world or story.names()[0], chosen.seed)
    return _many(list(_runs(chosen.world, chosen.seeds)), chosen.workers)


def _one(name: str, seed: int) -> int:
    world = story.read(name)
    print(f"{name}, seed {seed}: {world.about}")
    for fault in story.plan(world, seed):
        print(f"  planned  {fault.text()}")
    outcome = play(world, seed, lambda line: print(f"  {line}", flush=True))
    _tell(name, seed, outcome)
    return 1 if outcome.violations else 0


def _many(runs: list[tuple[str, int]], workers: int) -> int:
    """Play runs side by side; each that finds something wrong has a line as soon as it is over."""
    begun, events, simulated_s, wrong = time.monotonic(), 0, 0.0, list[str]()
    with ProcessPoolExecutor(workers) as pool:
        played = {pool.submit(_played, run): run for run in runs}
        for future in as_completed(played):
            (name, seed), outcome = played[future], future.result()
            events, simulated_s = events + outcome.events, simulated_s + outcome.simulated_s
            if outcome.violations:
                wrong.append(f"{name} {seed}")
                print(f"{_again(name, seed)}  # {_briefly(outcome)}", flush=True)
    took_s = time.monotonic() - begun
    print(f"{len(runs)} runs, {simulated_s / 3600:.1f} simulated hours in {took_s:.0f} s, {events} events")
    print(f"{len(wrong)} wrong: {', '.join(sorted(wrong))}" if wrong else "none wrong")
    return 1 if wrong else 0


def _briefly(outcome: Outcome) -> str:
    """The first violation, on one line; what ended a run says it last."""
    lines = outcome.violations[0].strip().splitlines()
    first = lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"
    more = len(outcome.violations) - 1
    return first[:BRIEF_MAX] + (f" and {more} more" if more else "")


def _again(name: str, seed: int) -> str:
    return f"make test-scenarios WORLD={name} SEED={seed}"


def _played(one: tuple[str, int]) -> Outcome:
    name, seed = one
    return play(story.read(name), seed)


def _runs(world: str | None, seeds: int) -> Iterator[tuple[str, int]]:
    names = [world] if world else [name for name in story.names() if name != "hour"]
    for seed in range(1, seeds + 1):
        yield names[seed % len(names)], seed


def _tell(name: str, seed: int, outcome: Outcome) -> None:
    for violation in outcome.violations[:SHOWN_MAX]:
        print(f"{name}, seed {seed}: {violation}")
    if len(outcome.violations) > SHOWN_MAX:
        print(f"{name}, seed {seed}: and {len(outcome.violations) - SHOWN_MAX} more")
    told = f"{outcome.jobs} jobs, {outcome.events} events, {outcome.simulated_s:.0f} s"
    if outcome.violations:
        print(f"{name}, seed {seed}: {told}; again: {_again(name, seed)}")
    else:
        print(f"{name}, seed {seed}: {told}; all is right")


if __name__ == "__main__":
    sys.exit(main())
