"""What a node that has stopped leaves: its ledger, its logs, and what should not be there at all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import psutil

from chaos.facts import Account, Charge, Hold, Ledger, Posting, Usage
from suanmesh.accounting.v1 import usage_pb2
from suanmesh.type.v1 import money_pb2

LINE_LENGTH_MAX = 400
DEFECT_EVENTS = ("work failed", "handler failed", "process failed")


def ledger_of(file: Path) -> Ledger:
    """Everything in the ledger."""
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        accounts = db.execute(
            "SELECT a.name, a.currency, a.balance_micros, COALESCE((SELECT SUM(h.amount_micros - h.charged_micros)"
            " FROM holds h WHERE h.account = a.name AND h.state != 'RELEASED'), 0) FROM accounts a"
        )
        postings = db.execute("SELECT entry, account, amount_micros, currency FROM postings")
        holds = db.execute("SELECT name, placement, state, amount_micros, charged_micros FROM holds")
        charges = db.execute("SELECT document FROM charges")
        usage = db.execute("SELECT record, ratable FROM usage")
        return Ledger(
            tuple(Account(*row) for row in accounts),
            tuple(Posting(*row) for row in postings),
            tuple(Hold(*row) for row in holds),
            tuple(_charge(row[0]) for row in charges),
            tuple(_usage(row[0], bool(row[1])) for row in usage),
        )
    finally:
        db.close()


def log_defects(folder: Path) -> list[str]:
    """Lines of the logs that tell of a defect of ours, each kind once per file with its count."""
    found = []
    for log in sorted(folder.glob("*.log")):
        kinds: dict[str, int] = {}
        for line in log.read_text(errors="replace").splitlines():
            if told := defect_in(line):
                kinds[told] = kinds.get(told, 0) + 1
        found += [f"{log.name}: {told} ({times} times)" for told, times in kinds.items()]
    return found


def defect_in(line: str) -> str:
    """The defect that a line of a log tells of, without what differs from time to time; empty for none."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line[:LINE_LENGTH_MAX] if line.startswith("Traceback") or "Error:" in line else ""
    if not isinstance(entry, dict):
        return ""
    if entry.get("code") in ("INTERNAL", "UNKNOWN"):
        return f"{entry.get('method')} answered {entry['code']}: {entry.get('reason', '')}"
    why = str(entry.get("exception") or "").strip().splitlines()
    if why or entry.get("event") in DEFECT_EVENTS:
        last = next((text.strip(" |+-") for text in reversed(why) if text.strip(" |+-")), "")
        return f"{entry.get('event')} {entry.get('work', '')}: {last}"[:LINE_LENGTH_MAX]
    return ""


def left_behind(folder: Path, placements: Iterable[str]) -> list[str]:
    """Processes, mounts and loop devices that outlived the node in that folder, and its placements' control groups."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if process.info["pid"] != psutil.Process().pid and any(
            str(folder) in part for part in process.info["cmdline"] or []
        ):
            found.append(f"process {process.info['pid']} {' '.join(process.info['cmdline'])[:160]}")
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    found += [f"mount {place}" for place in mounts if place.startswith(f"{folder}/")]
    for loop in Path("/sys/block").glob("loop*/loop/backing_file"):
        if loop.read_text().startswith(str(folder)):
            found.append(f"loop device {loop.parts[3]}")
    own = {placement.rpartition("/")[2] for placement in placements}
    groups = Path("/sys/fs/cgroup").glob("*/suanmesh/*/*/")
    found += [f"control group {group}" for group in groups if group.name.rpartition("-")[0] in own]
    return found


def _charge(document: bytes) -> Charge:
    charge = usage_pb2.Charge.FromString(document)
    meter = money_pb2.Meter.Name(charge.meter)
    return Charge(
        charge.name, charge.usage, meter, charge.price_version, charge.placement, charge.amount_micros, charge.account,
        charge.payee, charge.entry,
    )  # fmt: skip


def _usage(raw: bytes, ratable: bool) -> Usage:
    record = usage_pb2.UsageRecord.FromString(raw)
    return Usage(
        f"{record.site}/{record.epoch}/{record.sequence}", record.placement, record.transfer, record.task,
        record.start_time.ToMicroseconds(), record.end_time.ToMicroseconds(), record.final, ratable,
    )  # fmt: skip
