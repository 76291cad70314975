"""A PostgreSQL server of a test's own: Debian's, in a folder of its own, over a socket, never run by root."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

OLDEST = 15
MEMORY_BYTES = 2 << 30
"""What must be free of the memory of the machine, so that a server is kept there; it takes half a gibibyte."""
START_S = 60.0
STOP_S = 60.0
ABSENT = f"no PostgreSQL >= {OLDEST} is installed here: Debian's package `postgresql` has it"
_UNPRIVILEGED = ("postgres", "nobody")
_READY = "database system is ready to accept connections"


class Postgres:
    """A running server."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds its socket."""
        self._folder = folder
        self._databases = 0

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._databases += 1
        name = f"d{self._databases}"
        with psycopg.connect(host=str(self._folder), dbname="postgres", user="suanmesh", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://suanmesh@/{name}?host={quote(str(self._folder), safe='')}"


def binaries() -> Path | None:
    """Where the newest server that is new enough lies; None where there is none."""
    found = shutil.which("postgres")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: place.parent.name, reverse=True)
    return next((place for place in places if (place / "initdb").exists() and _version(place) >= OLDEST), None)


@contextmanager
def running(binaries: Path) -> Iterator[Postgres]:
    """A server with its own data, which outlive its kill and not the machine's; nothing is left of it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="suan-pg-", dir=_place()))
    user = _user()
    try:
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        _initialised(binaries, folder, user)
        server = _started(binaries, folder, user)
        try:
            yield Postgres(folder)
        finally:
            server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            server.wait(STOP_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place() -> str:
    """A folder with a short name, because a socket's path has 107 bytes at most: in memory, where there is room.

    A database for each test makes twenty thousand files, and a busy disk takes minutes to remove them.
    """
    memory = Path("/dev/shm")
    room = os.statvfs(memory) if memory.is_dir() else None
    return str(memory) if room is not None and room.f_bavail * room.f_frsize > MEMORY_BYTES else "/tmp"


def _initialised(binaries: Path, folder: Path, user: pwd.struct_passwd | None) -> None:
    command = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "suanmesh", "--auth=trust", "--no-sync"]
    command += ["--encoding=UTF8", "--locale=C.UTF-8"]
    subprocess.run([*_as(user), *command], check=True, capture_output=True, cwd="/", env=_ENVIRONMENT)


def _started(binaries: Path, folder: Path, user: pwd.struct_passwd | None) -> subprocess.Popen[str]:
    """A server that takes connections; it ends with this process, however that ends."""
    command = [str(binaries / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-c", "listen_addresses="]
    command += ["-c", "fsync=off", "-c", "full_page_writes=off"]
    mortal = [*_as(user), "--pdeathsig=KILL", *command]
    server = subprocess.Popen(mortal, cwd="/", env=_ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    said: deque[str] = deque(maxlen=5)
    settled = threading.Event()
    threading.Thread(target=_listen, args=(server, said, settled), daemon=True).start()
    if not settled.wait(START_S) or not any(_READY in line for line in said):
        server.kill()
        raise RuntimeError(f"the server did not start: {''.join(said)}")
    return server


def _listen(server: subprocess.Popen[str], said: deque[str], settled: threading.Event) -> None:
    """Read what the server says, so that it never waits to say more, until it ends."""
    assert server.stderr is not None
    with server.stderr as lines:
        for line in lines:
            said.append(line)
            if _READY in line:
                settled.set()
    settled.set()


def _as(user: pwd.struct_passwd | None) -> list[str]:
    """The beginning of a command line that runs the rest as that user."""
    drop = [] if user is None else [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", "--no-new-privs", *drop]


def _user() -> pwd.struct_passwd | None:
    """Whom the server runs as: it refuses to be root; None for whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in _UNPRIVILEGED if name in known)


def _version(place: Path) -> int:
    said = subprocess.run([place / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+", said)
    return int(found[0]) if found else 0


_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
