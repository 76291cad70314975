"""A researcher's day as docs/tutorials/working-day.md tells it, by the command line alone and by a program alone.

`make test` plays it with a thousand files, `make test-day` with thirty thousand and a large one of 500 MB.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from suanmesh_content import read_folder
from suanmesh_local.node import Node

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PAGE = ROOT / "docs" / "tutorials" / "working-day.md"
SITES = {"guiyang": range(1, 21), "wuhu": range(21, 41), "shanghai": range(41, 61)}
BLANK, BUSY = 37, 52
SHORT, WHOLE = (1000, 20), (30_000, 500)
"""Small files, and megabytes of the large one."""

pytestmark = pytest.mark.mesh
each_size = pytest.mark.parametrize(
    "size",
    [
        pytest.param(SHORT, marks=pytest.mark.timeout(400), id="short"),
        pytest.param(WHOLE, marks=[pytest.mark.day, pytest.mark.timeout(1800)], id="whole"),
    ],
)


class Desk:
    """A terminal in a folder of its own that has the examples in it."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.folder = folder
        self._environment = {"SUANMESH_CONFIG": str(node.folder / "config.toml"), "HOME": str(folder)}
        self._environment |= {"PATH": f"{BIN}{os.pathsep}{os.defpath}", "LANG": "C.UTF-8", "COLUMNS": "200"}
        (folder / "examples").symlink_to(ROOT / "examples")

    def type(self, command: str) -> str:
        """What a command prints; it ends well."""
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def start(self, command: str) -> subprocess.Popen[str]:
        """The same in another terminal."""
        return subprocess.Popen(
            command.split(), cwd=self.folder, env=self._environment, stdout=subprocess.PIPE, text=True
        )

    def data(self, command: str) -> Any:
        """The answer of a command as data."""
        return json.loads(self.type(f"{command} -o json"))


@pytest.fixture
def desk(node: Node, tmp_path: Path) -> Iterator[Desk]:
    """What is brought and fetched is removed afterwards: it is a hundred thousand files of a whole day."""
    yield Desk(node, tmp_path)
    shutil.rmtree(tmp_path / "build", ignore_errors=True)


@each_size
def test_a_day_by_the_command_line(desk: Desk, size: tuple[int, int]) -> None:
    """Who comes with real work types these lines; the first that fails, or loses a result, ends the day."""
    lines = [line.replace(" 1000 20", f" {size[0]} {size[1]}") for line in _lines(PAGE)]
    bill = next(number for number, line in enumerate(lines) if line.startswith("suan bill"))
    with desk.start("suan job list --label study=writers --watch") as watch:
        try:
            told = {line: desk.type(line) for line in lines[:bill]}
            assert _ends_that_are_told(watch) == {"wuhu": "FAILED", "shanghai": "DONE"}
            watch.send_signal(signal.SIGINT)
            assert watch.wait() == 130
        finally:
            watch.kill()
    assert "told apart" in told["suan job logs writers-shanghai 0 --follow"]
    assert "sites/shanghai: 0 left" in told['suan --context operator site drain shanghai --note "new fans"']
    assert "handed in nothing" in told["suan job logs writers-wuhu 16"]
    assert "busy" in told["suan job logs writers-shanghai 11 --previous"]
    assert "told apart" in told["suan job logs writers-shanghai 11"]
    _nothing_is_lost(desk, "writers")
    desk.type("suan data get samples --to build/back")
    assert read_folder(desk.folder / "build/back") == read_folder(desk.folder / "build/day/samples")
    _until_settled(desk)
    told |= {line: desk.type(line) for line in lines[bill:]}
    charged = dict(csv.reader(io.StringIO(told[lines[bill]])))
    recomputed = dict(csv.reader(io.StringIO(told[lines[-1]])))
    assert recomputed.keys() == {"label", *SITES}
    assert {each: charged[each] for each in recomputed} == recomputed


@each_size
def test_a_day_by_a_program(desk: Desk, size: tuple[int, int]) -> None:
    """Who writes the day down as a program finds every word of it in Python, and the same results and money."""
    desk.type(f"python3 examples/writers/samples.py build/day/samples {size[0]} {size[1]} 8")
    desk.type("python3 examples/writers/day.py build/day/samples build/day/models > bill.csv 2> told")
    told = (desk.folder / "told").read_text()
    assert re.search(r"^jobs/\S+ task 16: run 1 ended 1: .*handed in nothing$", told, re.MULTILINE)
    assert re.search(r"^jobs/\S+ task 11: run 2 ended 0: .*told apart$", told, re.MULTILINE)
    _nothing_is_lost(desk, "writers-of-a-program")
    exports = [line.replace("study=writers", "study=writers-of-a-program") for line in _lines(PAGE)]
    for line in exports:
        if "> build/day" in line:
            desk.type(line)
    assert desk.type(exports[-1]) == (desk.folder / "bill.csv").read_text()


def test_the_page_says_the_same_in_chinese() -> None:
    """A reader of Chinese must not be left behind when a command changes."""
    assert list(_lines(PAGE)) == list(_lines(PAGE.with_suffix(".zh-CN.md")))


def _ends_that_are_told(watch: subprocess.Popen[str]) -> dict[str, str]:
    """What a terminal with `--watch` shows in the end of two of the jobs."""
    assert watch.stdout is not None
    ends: dict[str, str] = {}
    while len(ends) < 2:
        line = watch.stdout.readline()
        assert line, "the watch has ended by itself"
        ends |= re.findall(r"^jobs/writers-(wuhu|shanghai) +(DONE|FAILED)", line)
    return ends


def _nothing_is_lost(desk: Desk, study: str) -> None:
    """Each of sixty tasks ran once, where it was to, and left what it would have left at home."""
    jobs = desk.data(f"suan job list --label study={study}")["jobs"]
    site_of = {job["name"]: job["labels"]["site"] for job in jobs}
    assert sorted(site_of.values()) == sorted(SITES)
    for job, site in site_of.items():
        tasks = desk.data(f"suan job tasks {job}")["tasks"]
        stand = [
            (task["site"], task["attempt"], task["result"].get("exit_status", 0), task["result"].get("retries", 0))
            for task in tasks
        ]
        wanted = [(f"sites/{site}", 1, int(writer == BLANK), int(writer == BUSY)) for writer in SITES[site]]
        assert stand == wanted
        for index, writer in enumerate(SITES[site]):
            model = desk.folder / "build/day/models" / site / f"task-{index}" / "model.json"
            assert model.exists() == (writer != BLANK)
            if writer in (1, 21, BUSY):
                assert model.read_text() == _model(desk, writer)


def _model(desk: Desk, writer: int) -> str:
    """The model as it is learned at home."""
    home = desk.folder / f"home-{writer}"
    (home / "in").mkdir(parents=True)
    (home / "in/samples").symlink_to(desk.folder / "build/day/samples")
    train = f"SUANMESH_RETRY=1 SUANMESH_PARAM_WRITER={writer} python3 ../examples/writers/train.py"
    desk.type(f"cd {home.name} && {train}")
    return (home / "out/model.json").read_text()


def _until_settled(desk: Desk) -> None:
    """Until nothing is held: all usage has been charged then. Every ask takes a process, and that is the pause."""
    while any(hold["state"] != "STATE_RELEASED" for hold in desk.data("suan hold list --limit 0")["holds"]):
        pass


def _lines(page: Path) -> Iterator[str]:
    """The commands of a page, in their order."""
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        yield from (line for line in block.splitlines() if line)
