"""Which columns a terminal has room for, and that nothing is ever cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from suanmesh_cli import layout
from suanmesh_cli.layout import Column, Grid
from suanmesh_cli.output import View
from suanmesh_cli.tables import exported, ordered, table
from suanmesh_cli.terminal import Terminal
from suanmesh_cli.usage import Misuse
from suanmesh_cli.values import Quantity, unless_zero

WORDS = st.text(st.sampled_from("abc-中文0"), min_size=1, max_size=12)
SENTENCES = st.lists(WORDS, max_size=12).map(" ".join)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Tables of up to five columns, some of sentences."""
    count = draw(st.integers(1, 5))
    folds = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    cells = [SENTENCES if fold else WORDS for fold in folds]
    return Grid(
        titles=[draw(WORDS) for _ in range(count)],
        rows=draw(st.lists(st.tuples(*cells), max_size=4)),
        ranks=draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)),
        folds=folds,
        rights=draw(st.lists(st.booleans(), min_size=count, max_size=count)),
    )


@given(grids(), st.integers(20, 100))
def test_what_is_kept_is_never_cut(grid: Grid, width: int) -> None:
    """A name that lacks its end is another name, an amount that lacks digits another amount."""
    shown = layout.lines(grid, width)
    text = "\n".join(shown)
    for row in grid.rows:
        for cell, rank, fold in zip(row, grid.ranks, grid.folds, strict=True):
            if rank == layout.KEPT:
                words = cell.split() if fold else [cell]
                assert all(
                    part in text for word in words for part in word.replace("中", " ").replace("文", " ").split()
                )


@given(grids(), st.integers(20, 100))
def test_a_line_is_no_longer_than_the_terminal_unless_it_must(grid: Grid, width: int) -> None:
    """A line that the terminal breaks makes a table unreadable."""
    everything = [grid.titles, *grid.rows]
    words = [word + ":" for row in everything for cell in row for word in cell.split(" ")]
    alone = max(cell_len(row[0]) for row in everything)  # the first column stands even where it is wider than all
    whole = max(map(cell_len, words), default=0) + len(layout.BELOW)  # a word stays whole, also below its row
    assert max(map(cell_len, layout.lines(grid, width)), default=0) <= max(width, alone, whole)


@given(grids(), st.integers(20, 100), st.integers(0, 50))
def test_more_room_never_shows_fewer_columns(grid: Grid, width: int, more: int) -> None:
    """Whoever makes the window wider wants to see more."""
    natural = [max(map(cell_len, column)) for column in zip(grid.titles, *grid.rows, strict=True)]
    narrow, wide = (layout.fitting(natural, grid, each) for each in (width, width + more))
    assert {*narrow[0], *narrow[1]} <= {*wide[0], *wide[1]}


JOBS = [("jobs/a-rather-long-name", "RUNNING", "accounts/demo", 3), ("jobs/b", "PENDING", "accounts/d", 20)]
COLUMNS = (
    Column("JOB", lambda job: job[0]),
    Column("STATE", lambda job: job[1]),
    Column("ACCOUNT", lambda job: job[2], rank=1),
    Column("PRIORITY", lambda job: job[3], rank=2),
)


def shown(width: int | None, **view: Any) -> list[str]:
    return table(View(terminal=Terminal(width), **view), JOBS, COLUMNS)


def test_lesser_columns_go_first() -> None:
    """On a narrow terminal the state is what somebody looks for."""
    assert shown(None)[0].split() == ["JOB", "STATE", "ACCOUNT", "PRIORITY"]
    assert shown(50)[0].split() == ["JOB", "STATE", "ACCOUNT"]
    assert shown(40)[0].split() == ["JOB", "STATE"]
    assert shown(10)[1:3] == ["jobs/a-rather-long-name", "    STATE:"]
    assert shown(30)[1:3] == ["jobs/a-rather-long-name", "    STATE: RUNNING"]
    assert shown(10, form="wide") == shown(None)


def test_columns_are_chosen_sorted_and_named_in_both_languages() -> None:
    """A report needs its columns in its own order, and fewer of them."""
    view = View(lang="zh", columns=("STATE", "作业"), sort=("-priority",))
    assert table(view, ordered(view, JOBS, COLUMNS), COLUMNS) == [
        "状态     作业",
        "PENDING  jobs/b",
        "RUNNING  jobs/a-rather-long-name",
    ]
    assert shown(None, headers=False)[0].startswith("jobs/a")
    with pytest.raises(Misuse, match="Did you mean 'priority'"):
        shown(None, columns=("priorty",))


def test_numbers_are_sorted_and_exported_as_numbers() -> None:
    """ "2 KiB" is more than "1.5 KiB" and less than "1 MiB", and a spreadsheet must be able to add them."""
    columns = [Column("FREE BYTES", lambda each: each)]
    items = [Quantity(2048, "2 KiB"), Quantity(1 << 20, "1 MiB"), Quantity(1536, "1.5 KiB")]
    view = View(form="csv", sort=("FREE BYTES",))
    assert list(exported(view, ordered(view, items, columns), columns)) == [
        ["free_bytes"],
        ["1536"],
        ["2048"],
        ["1048576"],
    ]


def test_a_sentence_without_room_stands_below_its_row() -> None:
    """Why a job waits is the one thing that must be readable everywhere."""
    column = Column("BECAUSE", lambda _: "no pool has a GPU 没有资源池有所需的加速卡", fold=True)
    made = table(View(terminal=Terminal(36)), JOBS[:1], [*COLUMNS, column])
    assert made == [
        "JOB                      STATE",
        "jobs/a-rather-long-name  RUNNING",
        "    no pool has a GPU 没有资源池有所",
        "    需的加速卡",
    ]
    assert all(cell_len(line) <= 36 for line in made)


def test_a_number_that_is_not_shown_is_sorted_as_what_it_is() -> None:
    """The job without a priority would else come before those that others were put behind it."""
    columns = [Column("JOB", lambda item: item[0]), Column("PRIORITY", lambda item: unless_zero(item[1]))]
    items = [("high", 5), ("none", 0), ("low", -3)]
    found = ordered(View(sort=("priority",)), items, columns)
    assert [name for name, _ in found] == ["low", "none", "high"]
    assert [*exported(View(), items[1:2], columns)] == [["job", "priority"], ["none", "0"]]
    assert table(View(), items[1:2], columns)[-1].split() == ["none"]
