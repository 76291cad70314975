"""Copies of the SQL stores of a node while their services write: by SQLite's online backup, and by pg_dump."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from suanmesh_store.databases import open_engines
from suanmesh_store.soundness import damage_of

DUMP = ".pgdump"
PROGRAM_S_MAX = 3600
"""How long pg_dump or pg_restore may take, seconds."""


class CopyFailed(Exception):
    """A store could not be copied or brought back; says on one line why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service keeps what must not be lost."""

    area: str
    url: str
    """`sqlite:///{path}` or `postgresql://{user}@{host}/{database}`."""
    said: str
    """Query for the store's name and the number of its last mark."""

    @property
    def path(self) -> Path | None:
        """The file, of SQLite."""
        return Path(self.url.removeprefix("sqlite:///")) if self.url.startswith("sqlite:") else None

    @property
    def schema(self) -> str:
        """Of PostgreSQL."""
        return PUBLIC if self.area == LEDGER else f"suanmesh_{self.area}"

    @property
    def file(self) -> str:
        """What its copy is called."""
        return f"{self.area}/{_FILES[self.area]}" if self.path else f"{self.area}/{_FILES[self.area]}{DUMP}"


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy says of its store."""

    store: str
    """Empty where the store has never led."""
    number: int


LEDGER = "accounting"
PUBLIC = "public"
"""The schema that every database of PostgreSQL has, in which the ledger is."""
_FILES = {
    "scheduler": "records.sqlite",
    "network_orchestrator": "records.sqlite",
    "transport": "records.sqlite",
    LEDGER: "ledger.sqlite",
}
_SAID = {True: "SELECT ledger, number FROM identity", False: "SELECT store, number FROM record_state"}


def places(folder: Path, environment: Mapping[str, str]) -> Iterator[Place]:
    """Every SQL store of the node in `folder`, the ledger last: what it lacks of the others nobody could bill.

    `SUANMESH_<AREA>_DATABASE` in `environment`, or in the area's file in `env`, says where one is that is no file here.
    """
    for area, file in _FILES.items():
        name = f"SUANMESH_{area.upper()}_DATABASE"
        url = environment.get(name) or settings_in(folder / "env" / f"{area}.env").get(name)
        yield Place(area, url or f"sqlite:///{folder / 'services' / area / file}", _SAID[area == LEDGER])


def copy(place: Place, target: Path) -> Copied | None:
    """Copy a store as of one moment; None where there is none yet. Raises CopyFailed, OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if place.path is None:
        return _dumped(place, target)
    if not place.path.exists():
        return None
    try:
        with (
            closing(sqlite3.connect(f"file:{place.path}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(target)) as copied,
        ):
            source.backup(copied)  # in one step: a read transaction, which keeps no writer waiting
            copied.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as fault:  # which says the same of a disk that is full as of one that is broken
        free = shutil.disk_usage(target.parent).free
        problem = f"{place.path} cannot be copied to {target}: {fault}"
        raise CopyFailed(f"{problem}; {free} bytes are free there") from fault
    return said_by(target, place)


def said_by(copied: Path, place: Place) -> Copied:
    """What a copy in a file says of its store. Raises CopyFailed where it is damaged."""
    try:
        if damage := damage_of(copied):
            raise CopyFailed(f"{copied}: {damage}")
        with closing(sqlite3.connect(f"file:{copied}?mode=ro", uri=True)) as opened:
            row = opened.execute(place.said).fetchone()
    except sqlite3.Error as fault:
        raise CopyFailed(f"{copied}: {fault}") from fault
    return Copied(*row) if row else Copied("", 0)


def bring_back(copied: Path, place: Place) -> None:
    """Make the store at `place`, where there is none, out of its copy. Raises CopyFailed, OSError."""
    if place.path is not None:
        place.path.parent.mkdir(parents=True, exist_ok=True)
        if place.path.exists():
            raise CopyFailed(f"{place.path} is there already")
        shutil.copyfile(copied, place.path)
        return
    restore = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
    _run("pg_restore", [*restore, f"--dbname={without_password(place.url)}", str(copied)], place.url)


def _dumped(place: Place, target: Path) -> Copied:
    """The mark's number and the dump see the same moment."""
    engines = open_engines(place.url, f"the store of {place.area}", application="suan-node-backup")
    try:
        with engines.reading.connect() as connection:
            connection.exec_driver_sql(f"SET search_path = {place.schema}")
            row = connection.exec_driver_sql(place.said).first()
            moment = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
            chosen = "--table=public.*" if place.schema == PUBLIC else f"--schema={place.schema}"  # which is everywhere
            options = [f"--snapshot={moment}", chosen, "--format=custom", f"--file={target}"]
            _run("pg_dump", [*options, without_password(place.url)], place.url)
    finally:
        engines.dispose()
    return Copied(str(row[0]), int(row[1])) if row else Copied("", 0)


def _run(program: str, arguments: list[str], url: str) -> None:
    password = urlsplit(url).password
    environment = os.environ | (
        {"PGPASSWORD": password} if password else {}
    )  # not among the arguments, which anybody sees
    try:
        done = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, timeout=PROGRAM_S_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise CopyFailed(f"{program}: {fault}; Debian's package `postgresql-client` has it") from fault
    if done.returncode:
        raise CopyFailed(f"{program} ended with {done.returncode}: {done.stderr.strip().rpartition(chr(10))[2]}")


def without_password(url: str) -> str:
    """A URL as PostgreSQL's own programs take it, without a password."""
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    place = parts.netloc.rpartition("@")
    netloc = f"{place[0].partition(':')[0]}@{place[2]}" if place[1] else place[2]
    return parts._replace(scheme=scheme, netloc=netloc).geturl()


def settings_in(file: Path) -> dict[str, str]:
    """Settings of a process, as they were written for a shell and for systemd."""
    if not file.exists():
        return {}
    pairs = (line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
    return {name: "".join(shlex.split(value)) for name, value in pairs}
