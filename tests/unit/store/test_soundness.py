"""What is damaged is found before it is used: money is never read from a broken page, and traces never stop a door."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from suanmesh_accounting.ledger import open_ledger
from suanmesh_agent.journal import Journal
from suanmesh_gateway.domain.traces import Span
from suanmesh_gateway.trace_store import TraceStore
from suanmesh_kernel.clock import HandClock, seeded_rng
from suanmesh_store.records import open_records
from suanmesh_store.soundness import StoreCorrupt, damage_among, damage_of, set_aside
from suanmesh_store.sqlite_files import open_hard

PAGE = 4096


def a_store(path: Path) -> None:
    """A file of some hundred pages."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")
        connection.executemany("INSERT INTO rows (text) VALUES (?)", [(f"{n:0200d}",) for n in range(2000)])


def no_header(path: Path) -> None:
    path.write_bytes(b"\xff" * 100 + path.read_bytes()[100:])


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def a_page_of_zeros(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[10 * PAGE : 11 * PAGE] = bytes(PAGE)
    path.write_bytes(content)


def another_file(path: Path) -> None:
    path.write_text("this was restored from the wrong place\n" * 100)


DAMAGES = [no_header, cut_short, a_page_of_zeros, another_file]
HARD: dict[str, Callable[[Path], object]] = {
    "records": lambda path: open_records(f"sqlite:///{path}", "scheduler", [], HandClock(), seeded_rng(1)),
    "ledger": lambda path: open_ledger(f"sqlite:///{path}"),
    "journal": Journal,
}


@pytest.mark.parametrize("spoil", DAMAGES)
def test_damage_is_found_wherever_it_is(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """A page that nobody reads today is a bill that nobody can make tomorrow."""
    a_store(tmp_path / "store")
    assert damage_of(tmp_path / "store") == ""

    spoil(tmp_path / "store")

    assert damage_of(tmp_path / "store") != ""


@pytest.mark.parametrize("opened", HARD.values(), ids=HARD)
@pytest.mark.parametrize("spoil", DAMAGES)
def test_what_must_not_be_lost_refuses_to_open(
    tmp_path: Path, spoil: Callable[[Path], None], opened: Callable[[Path], object]
) -> None:
    """An operator must read which file it is and what to do, on one line, before anything was built on it."""
    path = tmp_path / "store"
    a_store(path)
    spoil(path)

    with pytest.raises(StoreCorrupt) as refused:
        opened(path)

    said = str(refused.value)
    assert str(path) in said
    assert "bring back a copy" in said
    assert "\n" not in said


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not count what a process reads")
def test_a_store_is_read_through_once_however_many_connections_it_gets(tmp_path: Path) -> None:
    """An agent whose journal has grown would be away twice as long at each of its starts."""
    path = tmp_path / "store"
    a_store(path)
    before = bytes_read()
    connections = open_hard(path, "a store", connections=4)
    read = bytes_read() - before
    for connection in connections:
        connection.close()

    assert path.stat().st_size <= read < 2 * path.stat().st_size


def bytes_read() -> int:
    """By this process, from wherever."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("spoil", DAMAGES)
async def test_traces_begin_anew(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    """A gateway is everybody's door: what its trace store lost must not keep it shut."""
    path = tmp_path / "traces.sqlite"
    await filled(path)
    spoil(path)

    store = TraceStore(path, trace_spans_max=10)
    await store.sweep(began_before_ns=0, spans_max=10)
    await store.add([a_span(7)])
    kept = await store.trace(a_span(7).trace_id)
    await store.close()

    assert kept == [a_span(7)]
    assert damage_of(path) == ""


async def test_traces_that_are_damaged_while_they_are_open_begin_anew(tmp_path: Path) -> None:
    """A disk goes bad while a process runs, too; only the last copy set aside stays, so that the disk does not fill."""
    path = tmp_path / "traces.sqlite"
    store = TraceStore(path, trace_spans_max=10)
    for turn in range(3):
        await store.add([a_span(turn)])
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        another_file(path)
        await store.add([a_span(turn, 2)])
        assert [span.span_id for span in await store.trace(a_span(turn).trace_id)] == [a_span(turn, 2).span_id]
    await store.close()

    assert names_in(tmp_path) == ["traces.sqlite", "traces.sqlite.damaged"]


def test_a_damaged_store_is_found_in_whatever_it_is_wrapped(tmp_path: Path) -> None:
    """The task group of a process wraps what its parts raise; the one line must be told all the same."""
    damage = StoreCorrupt("the ledger is damaged")

    assert damage_among(ExceptionGroup("a", [ValueError(), ExceptionGroup("b", [damage])])) is damage
    assert damage_among(ExceptionGroup("a", [ValueError()])) is None


def test_what_is_set_aside_takes_its_log_with_it(tmp_path: Path) -> None:
    """The write-ahead log of a damaged file must not be played into the new one."""
    path = tmp_path / "store"
    a_store(path)
    path.with_name("store-wal").write_bytes(b"old")

    aside = set_aside(path)

    assert names_in(tmp_path) == [aside.name]


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


async def filled(path: Path) -> None:
    store = TraceStore(path, trace_spans_max=10)
    await store.add([a_span(trace, number) for trace in range(100) for number in range(9)])
    await store.close()


def a_span(trace: int, number: int = 1) -> Span:
    text = "x" * 100
    return Span(f"{trace:032x}", f"{number:016x}", "", text, "gateway", "SERVER", 1, 2, False, "", {"a": text})
