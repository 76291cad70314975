"""`suan` on terminals, 80x24 and 160x50, English and Chinese, UTF-8 and GBK: what is on the screen, kept as text.

`SUANMESH_REWRITE=1 pytest tests/service/sdk/test_cli_screens.py` writes them anew, to be read like code.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from rich.cells import cell_len

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_cli.main import suan
from suanmesh_cli.titles import title
from suanmesh_cli.units import money
from suanmesh_kernel.refusals import PermissionDenied
from suanmesh_kernel.texts import UNSHOWABLE
from tests.service.sdk.busy_answers import ACCOUNTS, CANDIDATES, CHARGES, JOBS, PARTIES, POOL, RESERVATIONS, answers

SCREENS = Path(__file__).parent / "screens"
COMMANDS = [
    "job list", "job show x", "job explain x", "job tasks x", "pool search", "site list", "bill show --account demo",
    "account list", "ledger show", "price list", "link list", "dataset list", "dataset show x", "transfer list",
    "trace show t", "bill show --account demo --by job", "budget list", "hold list", "posting list", "usage list",
    "site jobs x", "site limits x", "site health", "job show",
    "account show x", "site show x", "pool show hefei/gpu", "party list", "party show x", "link show x",
    "link topology",
    "path find a b", "path explain a b", "reservation list", "reservation show x", "price show x", "price history x",
    "data list", "data show x", "transfer show x", "trace list", "trust list", "trust show", "job diff x y",
]  # fmt: skip
SHOWING = {
    "list",
    "show",
    "explain",
    "find",
    "search",
    "tasks",
    "history",
    "jobs",
    "limits",
    "health",
    "topology",
    "diff",
}
"""Verbs that print a table or facts."""
RUN = """
import os, shlex, sys
from suanmesh_cli.main import status_of
for line in sys.argv[1:]:
    print("$ suan", line, flush=True)
    status_of(shlex.split(line), dict(os.environ))
"""
SIZES = [(80, 24), (160, 50)]
LOOKS = [("en", "utf-8"), ("zh", "utf-8"), ("en", "gbk"), ("zh", "gbk"), ("zh", "ascii")]


def on_a_terminal(columns: int, rows: int, environment: dict[str, str], commands: Sequence[str] = COMMANDS) -> bytes:
    """What a process writes to a terminal of that size, standard error with it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, *commands], stdin=slave, stdout=slave, stderr=slave, env=environment
    )
    os.close(slave)
    written = b""
    try:
        while piece := os.read(master, 65536):
            written += piece
    except OSError:  # how Linux says that nobody has the other end any more
        pass
    os.close(master)
    assert process.wait() == 0
    return written


def test_every_list_and_show_has_its_screen() -> None:
    """A verb that nobody has looked at on a narrow terminal cuts what its reader came for."""
    shown = {tuple(line.split()[:2]) for line in COMMANDS}
    asking = {path for path in commands() if path[-1] in SHOWING and len(path) > 1 and path[0] != "ctx"}
    assert sorted(" ".join(path) for path in asking - shown) == []


def commands(group: click.Group = suan, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command."""
    with click.Context(group) as ctx:
        for name in group.list_commands(ctx):
            found = group.get_command(ctx, name)
            yield from commands(found, (*path, name)) if isinstance(found, click.Group) else [(*path, name)]


@pytest.mark.parametrize(("columns", "rows"), SIZES)
@pytest.mark.parametrize(("lang", "encoding"), LOOKS)
async def test_a_screen_shows_every_name_state_and_amount_whole(
    oracle: Any, environment: dict[str, str], columns: int, rows: int, lang: str, encoding: str
) -> None:
    """At 80 columns bills had lost their amounts and lists their states; on GBK there was a traceback."""
    oracle.answers |= answers()
    told = _seen(environment, lang, encoding)
    raw = await asyncio.to_thread(on_a_terminal, columns, rows, told)
    shown = raw.replace(b"\r\n", b"\n").decode("utf-8" if encoding == "ascii" else encoding)

    assert "Traceback" not in shown
    assert not UNSHOWABLE.search(shown.replace("\n", ""))
    assert encoding != "ascii" or shown.isascii()
    for name in (JOBS[0].name, JOBS[1].name, POOL, ACCOUNTS[1].name, "guiyang-northern-hub/cpu-general-purpose",
                 PARTIES[0].name, RESERVATIONS[0].name):  # fmt: skip
        assert name in shown
    for state in ("PENDING", "DELIVERING", "FAILED", "CPU: ", "NO_PLACE", "EXIT_STATUS", "HEARTBEAT_LATE", "SUSPENDED",
                  "COMMITTED", "BANDWIDTH"):  # fmt: skip
        assert state in shown
    amounts = [
        CANDIDATES[1].cost_micros,
        *(each.amount_micros for each in CHARGES),
        ACCOUNTS[1].balance_micros,
        123_456_789_017,
    ]
    assert all(money(amount) in shown for amount in amounts)
    long = [line for line in shown.splitlines() if cell_len(line) > columns]
    assert long == []
    golden = SCREENS / f"{columns}x{rows}-{lang}-{encoding}.txt"
    if os.environ.get("SUANMESH_REWRITE"):
        golden.write_text(shown)
    assert shown == golden.read_text()


@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_eighty_columns_have_room_for_what_is_asked(oracle: Any, environment: dict[str, str], lang: str) -> None:
    """Lists had lost their states, bills their amounts and their total, and decisions what stood in the way."""
    oracle.answers |= answers()
    asked = ["job list", "bill show --job digits", "pool search ''", "job explain digits"]
    raw = await asyncio.to_thread(on_a_terminal, 80, 40, _seen(environment, lang, "utf-8"), asked)
    _, *shown = raw.replace(b"\r\n", b"\n").decode().split("$ suan ")
    listed, bill, pools, explained = shown
    assert not re.search(r"\w…", "".join(shown))
    for job in JOBS:
        assert job.name in listed
        assert Job.State.Name(job.state).removeprefix("STATE_") in listed
    assert all(money(charge.amount_micros) in bill for charge in CHARGES)
    assert money(sum(charge.amount_micros for charge in CHARGES)) in bill
    assert "guiyang-northern-hub/cpu-general-purpose" in pools
    assert "12.5" in pools
    assert title("OBSTACLE", lang) in explained or "CPU: " in explained
    assert all(money(each.cost_micros) in explained for each in CANDIDATES)
    assert all(cell_len(line) <= 80 for line in "".join(shown).splitlines())


REFUSED = PermissionDenied("NOT_OWNER", "this belongs to another party, " * 5 + "which alone may", name="jobs/resnet50")
MISTYPED = ["jbo", "job list --state x", "job list --since yesterda", "job list --foo", "explain NO_PLACE", "explain"]


@pytest.mark.parametrize(("columns", "lang", "encoding"), [(60, "en", "utf-8"), (60, "zh", "gbk"), (80, "zh", "utf-8")])
async def test_refusals_fit_the_terminal_too(
    oracle: Any, environment: dict[str, str], columns: int, lang: str, encoding: str
) -> None:
    """What to do about a refusal stood beyond the edge, broken in the middle of its words."""

    async def refuse(body: bytes, context: Any) -> bytes:
        raise REFUSED

    oracle.answer = refuse
    oracle.stream = refuse
    asked = [line for line in COMMANDS if line != "job show"]
    raw = await asyncio.to_thread(
        on_a_terminal, columns, 24, _seen(environment, lang, encoding), [*asked, "job show", *MISTYPED]
    )
    shown = raw.replace(b"\r\n", b"\n").decode(encoding)
    assert shown.count("suan explain NOT_OWNER") == len(asked)
    assert [line for line in shown.splitlines() if cell_len(line) > columns] == []


def _seen(environment: dict[str, str], lang: str, encoding: str) -> dict[str, str]:
    told = environment | {"SUANMESH_LANG": lang, "PYTHONIOENCODING": encoding, "TZ": "Asia/Shanghai", "NO_COLOR": "1"}
    told |= {"PATH": "/usr/bin:/bin", "TERM": "xterm", "GRPC_VERBOSITY": "NONE"}
    return told
