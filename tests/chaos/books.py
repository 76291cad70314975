"""The books: each a pure function from what was collected to what is wrong with it, named."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise

from chaos.facts import Facts, Ledger, Run, Usage
from suanmesh_scheduler.domain.states import (
    JOB_ENDS,
    JOB_TRANSITIONS,
    PLACEMENT_ENDS,
    PLACEMENT_TRANSITIONS,
    JobState,
    PlacementState,
)

OVERLAP_S = 0.05
"""Two runs that touch by less are told apart by nobody's clock."""
OVERLAP_US = 1_000
FDS_MAX = 400
FDS_MORE_MAX = 120
RSS_MIB_MAX = 500
RSS_MORE_MIB_MAX = 150
EXPECTED = {"failing": ("FAILED", "CANCELLED"), "dear": ("CANCELLED",)}
"""Ends a job of that kind may have; any other job ends DONE, FAILED with a reason, or CANCELLED where asked."""

Violations = list[str]


def jobs(facts: Facts) -> Violations:
    """Each acknowledged job is there once, in an end that was asked for or is explained; none is there unasked."""
    wrong = [f"JOB_NOT_ENDED: {job.name} is {job.state}: {job.reason}" for job in facts.jobs if not _ended(job.state)]
    by_name = {job.name: job for job in facts.jobs}
    count = Counter(job.marker for job in facts.jobs)
    asked = {each.marker: each for each in facts.journal.asked}
    cancelled = {each.name for each in facts.journal.cancelled}
    wrong += [f"JOB_DOUBLED: {marker} was made {times} times" for marker, times in count.items() if times > 1]
    wrong += [f"JOB_UNASKED: {job.name}" for job in facts.jobs if job.marker not in asked]
    for answer in facts.journal.answered:
        job = by_name.get(answer.name)
        if answer.refused and count[answer.marker]:
            wrong.append(f"JOB_REFUSED_YET_MADE: {answer.marker} was refused with {answer.refused} and is there")
        elif answer.name and job is None:
            wrong.append(f"JOB_LOST: {answer.name} was acknowledged and is not there")
        elif job is not None and job.marker != answer.marker:
            wrong.append(f"JOB_MIXED_UP: {answer.name} is {job.marker} and not {answer.marker}")
        elif job is not None and _ended(job.state):
            wrong += _end(job.state, job.reason, asked[job.marker].kind, job.name, job.name in cancelled)
    return wrong + _histories(facts) + _sightings(facts)


def cancellations(facts: Facts) -> Violations:
    """What was cancelled ends CANCELLED, or DONE where it was done before; nothing of it runs after its end."""
    wrong = []
    by_name = {job.name: job for job in facts.jobs}
    runs = defaultdict(list)
    for run in facts.runs:
        runs[_jobs_of(facts).get(run.placement, "")].append(run)
    for name in sorted({each.name for each in facts.journal.cancelled}):
        job = by_name.get(name)
        if job is None or job.state not in ("CANCELLED", "DONE"):
            wrong.append(f"CANCEL_FORGOTTEN: {name} was cancelled and is {job.state if job else 'gone'}")
    for job in facts.jobs:
        for run in runs[job.name] if _ended(job.state) else []:
            if run.begin_wall > job.end_at + OVERLAP_S:
                late_s = run.begin_wall - job.end_at
                wrong.append(f"RUN_AFTER_END: {job.name} is {job.state}, {run.placement} began {late_s:.1f} s later")
    return wrong


def placements(facts: Facts) -> Violations:
    """Placements move as their table says, end, belong to a job, and a job has one that lives at most."""
    wrong = []
    names = {job.name for job in facts.jobs}
    state: dict[str, str] = {}
    live: dict[str, set[str]] = defaultdict(set)
    for change in sorted(facts.changes, key=lambda change: change.revision):
        before = state.get(change.placement)
        if not change.state:  # moved to the archive
            if before and not _placement_ended(before):
                wrong.append(f"PLACEMENT_GONE: {change.placement} was {before}")
            continue
        if before and before != change.state and PlacementState(change.state) not in placement_next(before):
            wrong.append(f"PLACEMENT_TRANSITION: {change.placement} went from {before} to {change.state}")
        state[change.placement] = change.state
        (live[change.job].discard if _placement_ended(change.state) else live[change.job].add)(change.placement)
        if len(live[change.job]) > 1:
            wrong.append(f"PLACEMENTS_AT_ONCE: {change.job} has {', '.join(sorted(live[change.job]))}")
        if change.job not in names:
            wrong.append(f"PLACEMENT_WITHOUT_JOB: {change.placement} is for {change.job}")
    wrong += [f"PLACEMENT_NOT_ENDED: {name} is {at}" for name, at in state.items() if not _placement_ended(at)]
    return sorted(set(wrong))


def runs(facts: Facts) -> Violations:
    """No task of a job runs at two places at the same time, or twice for one placement, or for no placement."""
    wrong = [
        f"RUN_TWICE: task {run.task} of {run.placement} began {run.begins} times"
        for run in facts.runs
        if run.begins > 1
    ]
    of_jobs = _jobs_of(facts)
    by_task: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for run in facts.runs:
        if run.placement not in of_jobs:
            wrong.append(f"RUN_UNASKED: {run.placement} ran at {run.site}")
        by_task[of_jobs.get(run.placement, run.placement), run.task].append(run)
    for (job, task), each in by_task.items():
        for one, other in pairwise(sorted(each, key=lambda run: run.begin)):
            if one.placement != other.placement and other.begin < one.last - OVERLAP_S:
                wrong.append(
                    f"RUN_AT_TWO_PLACES: task {task} of {job} at {one.site} ({one.placement}) and at {other.site} "
                    f"({other.placement}) for {min(one.last, other.last) - other.begin:.1f} s"
                )
    done = {job.placement: job.name for job in facts.jobs if job.state == "DONE"}
    ran = {run.placement for run in facts.runs}
    return wrong + [f"DONE_WITHOUT_RUN: {job} ({name})" for name, job in done.items() if name not in ran]


def holds(facts: Facts) -> Violations:
    """When all is quiet nothing is held: no money, no bandwidth, no capacity."""
    wrong = [f"HELD: {what}" for what in facts.held]
    wrong += [f"HOLD_OPEN: {hold.name} is {hold.state}" for hold in facts.ledger.holds if hold.state != "RELEASED"]
    return wrong + [f"ACCOUNT_HELD: {a.name} has {a.held_micros} held" for a in facts.ledger.accounts if a.held_micros]


def money(facts: Facts) -> Violations:
    """Entries sum to zero, balances are their postings, charges stay within holds, and all use is charged once."""
    ledger = facts.ledger
    entries: Counter[tuple[str, str]] = Counter()
    balances: Counter[tuple[str, str]] = Counter()
    charged: Counter[str] = Counter()
    for posting in ledger.postings:
        entries[posting.entry, posting.currency] += posting.amount_micros
        balances[posting.account, posting.currency] += posting.amount_micros
    for charge in ledger.charges:
        charged[charge.placement] += charge.amount_micros
    wrong = [f"ENTRY_UNBALANCED: {entry} sums to {sum_} {cur}" for (entry, cur), sum_ in entries.items() if sum_]
    for account in ledger.accounts:
        posted = balances.pop((account.name, account.currency), 0)
        if posted != account.balance_micros:
            wrong.append(f"BALANCE_WRONG: {account.name} says {account.balance_micros}, its postings {posted}")
    wrong += [f"POSTING_ASTRAY: {account} in {currency}" for account, currency in balances]
    for hold in ledger.holds:
        if hold.charged_micros > hold.amount_micros:
            wrong.append(f"CHARGED_BEYOND_HOLD: {hold.name}: {hold.charged_micros} of {hold.amount_micros}")
        if hold.charged_micros != charged.pop(hold.placement, 0):
            wrong.append(f"HOLD_CHARGES_DIFFER: {hold.name} says {hold.charged_micros}")
    wrong += [f"CHARGE_WITHOUT_HOLD: {placement} for {amount}" for placement, amount in charged.items()]
    lines = Counter((charge.usage, charge.meter, charge.price_version) for charge in ledger.charges)
    wrong += [f"CHARGED_TWICE: {' '.join(line)}" for line, times in lines.items() if times > 1]
    return wrong + _posted(ledger) + _usage(ledger.usage, facts)


def data(facts: Facts) -> Violations:
    """What was published and what jobs left can be read and is what it was; what was to move has an end."""
    wrong = []
    wanted = {each.name: (each.digest, each.sha256) for each in facts.journal.published}
    wanted |= {name: ("", sha256) for name, sha256 in facts.expected_outputs.items()}
    for name, (digest, sha256) in wanted.items():
        found = facts.datasets.get(name)
        if found is None or found.error:
            wrong.append(f"DATASET_UNREADABLE: {name}: {found.error if found else 'it was not read'}")
        elif (digest and found.digest != digest) or found.sha256 != sha256:
            wrong.append(f"DATASET_CHANGED: {name} is {found.digest}")
    for moving in facts.journal.moving:
        state = facts.transfers.get(moving.name, "gone")
        if state not in ("DONE", "FAILED", "CANCELLED"):
            wrong.append(f"TRANSFER_NOT_ENDED: {moving.name} is {state}")
    return wrong


def processes(facts: Facts) -> Violations:
    """Nothing runs that should not, nothing is left behind, nothing grows without bound, nobody ends by himself."""
    wrong = [f"TASK_LEFT: {what}" for what in facts.tasks_left] + [f"LEFT_BEHIND: {what}" for what in facts.left]
    wrong += [f"ENDED_BY_ITSELF: {what}" for what in facts.deaths]
    before = {process.pid: process for process in facts.before}
    for now in facts.after:
        then = before.get(now.pid)
        if now.fds > FDS_MAX or (then and now.fds - then.fds > FDS_MORE_MAX):
            wrong.append(f"FDS_LEAKED: {now.name} has {now.fds}, had {then.fds if then else '?'}")
        if now.rss_mib > RSS_MIB_MAX or (then and now.rss_mib - then.rss_mib > RSS_MORE_MIB_MAX):
            wrong.append(f"MEMORY_GROWN: {now.name} has {now.rss_mib} MiB, had {then.rss_mib if then else '?'}")
    return wrong


def answers(facts: Facts) -> Violations:
    """No client is answered with a defect, no log tells of one, and everything comes to rest."""
    wrong = [f"ANSWER_{t.code}: {t.client}: {t.what}: {t.reason}: {t.message}" for t in facts.journal.errors]
    wrong += [f"LOG: {line}" for line in facts.log_defects]
    return wrong + [f"NOT_QUIET: {what}" for what in facts.unquiet]


BOOKS: dict[str, Callable[[Facts], Violations]] = {
    "jobs": jobs,
    "cancellations": cancellations,
    "placements": placements,
    "runs": runs,
    "holds": holds,
    "money": money,
    "data": data,
    "processes": processes,
    "answers": answers,
}


def judged(facts: Facts) -> dict[str, Violations]:
    """Every book with what is wrong in it."""
    return {name: judge(facts) for name, judge in BOOKS.items()}


def _ended(state: str) -> bool:
    return state in {str(end) for end in JOB_ENDS}


def _placement_ended(state: str) -> bool:
    return state in {str(end) for end in PLACEMENT_ENDS}


def placement_next(state: str) -> frozenset[PlacementState]:
    """Where a placement may be seen next: steps that need nobody else are written together, and in between unseen."""
    found: set[PlacementState] = set()
    ahead = set(PLACEMENT_TRANSITIONS[PlacementState(state)])
    while ahead:
        found |= ahead
        ahead = {after for each in ahead for after in PLACEMENT_TRANSITIONS[each]} - found
    return frozenset(found)


def _jobs_of(facts: Facts) -> dict[str, str]:
    return {change.placement: change.job for change in facts.changes if change.job}


def _end(state: str, reason: str, kind: str, name: str, cancelled: bool) -> Violations:
    allowed = EXPECTED.get(kind, ("DONE", "FAILED", "CANCELLED"))
    if state not in allowed:
        return [f"JOB_END: {name}, which is {kind}, is {state}: {reason}"]
    if state == "CANCELLED" and not cancelled:
        return [f"JOB_CANCELLED_UNASKED: {name}: {reason}"]
    if state == "FAILED" and not reason:
        return [f"JOB_FAILED_UNEXPLAINED: {name}"]
    if state == "FAILED" and kind != "failing" and reason.startswith(("DEFECT", "TASK_FAILED", "AGENT_DEFECT")):
        return [f"JOB_FAILED: {name}, which is {kind}: {reason}"]
    return []


def _histories(facts: Facts) -> Violations:
    wrong = []
    for job in facts.jobs:
        for one, other in pairwise(job.history):
            if one != other and JobState(other) not in JOB_TRANSITIONS[JobState(one)]:
                wrong.append(f"JOB_TRANSITION: {job.name} went from {one} to {other}")
    return wrong


def _sightings(facts: Facts) -> Violations:
    """An end that somebody saw is the end."""
    final = {job.name: job.state for job in facts.jobs}
    seen = {(each.name, each.state) for each in facts.journal.seen if _ended(each.state)}
    return [
        f"END_CHANGED: {name} was seen {state} and is {final.get(name)}"
        for name, state in sorted(seen)
        if final.get(name) != state
    ]


def _posted(ledger: Ledger) -> Violations:
    """What an entry moves is what the charges that name it are worth."""
    sides: Counter[tuple[str, str]] = Counter()
    for charge in ledger.charges:
        sides[charge.entry, charge.account] -= charge.amount_micros
        sides[charge.entry, charge.payee] += charge.amount_micros
    named = {entry for entry, _ in sides}
    posted = Counter({(p.entry, p.account): p.amount_micros for p in ledger.postings if p.entry in named})
    differ = {side for side in sides.keys() | posted.keys() if sides[side] != posted[side]}
    return [f"CHARGES_NOT_POSTED: {entry} on {account}" for entry, account in sorted(differ)]


def _usage(usage: Iterable[Usage], facts: Facts) -> Violations:
    """Records are unique and their intervals of one task apart; each task that ran has a final record."""
    wrong = []
    references = Counter(each.reference for each in usage)
    wrong += [f"USAGE_TWICE: {reference}" for reference, times in references.items() if times > 1]
    by_task: dict[tuple[str, str, int], list[Usage]] = defaultdict(list)
    for each in usage:
        by_task[each.placement, each.transfer, each.task].append(each)
    for (placement, transfer, task), records in by_task.items():
        for one, other in pairwise(sorted(records, key=lambda each: (each.start_us, each.end_us))):
            if other.start_us < one.end_us - OVERLAP_US:
                wrong.append(f"USAGE_OVERLAPS: {one.reference} and {other.reference} for {placement} {transfer} {task}")
        if sum(each.final for each in records) > 1:
            wrong.append(f"USAGE_FINAL_TWICE: {placement} {transfer} {task}")
    finals = {(each.placement, each.task) for each in usage if each.final and not each.transfer}
    return wrong + [
        f"RUN_NOT_METERED: task {run.task} of {run.placement} at {run.site}"
        for run in facts.runs
        if (run.placement, run.task) not in finals
    ]
