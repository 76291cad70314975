"""`suan support-bundle`: what somebody elsewhere needs to find out what is wrong with a node, and nothing else."""

from __future__ import annotations

import asyncio
import io
import json
import os
import platform
import shlex
import sys
import tarfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

import psutil
from google.protobuf.json_format import MessageToDict

from suanmesh.gateway.v1 import gateway_service_pb2 as gateway
from suanmesh_kernel.refusals import Refusal
from suanmesh_local.check import findings_in
from suanmesh_local.redaction import redacted
from suanmesh_local.scrapes import Scrape, operators_tls, scraped, targets_in
from suanmesh_sdk import Mesh, Tls, connect

LINES_MAX = 300
"""Lines kept of one log: those that are warnings or errors, the newest."""
LOG_BYTES_MAX = 8 * 1024 * 1024
"""So much of the end of a log is looked through."""
TRACES = 20
TRACES_S_MAX = 15.0
LEVELS = frozenset(("warning", "error", "critical"))
FIRST = "process begins"
"""The line of a log that has the effective settings, secrets left out."""
README = """Support bundle of the Suanmesh node in {folder}, made {now} UTC.

versions.json   Suanmesh, Python, its packages, the machine
check.txt       what `suan node check` says
processes.json  who answers, who is ready
health/         /readyz of each process
metrics/        /metrics of each process, as of now
settings/       how each process is set up
logs/           the last warnings and errors of each process
traces/         the newest traces of the node's store

Keys, certificates, passwords, tokens, invites and headers have been taken out: (redacted). What stays are names: of
parties, users, sites, jobs, datasets, files and addresses. Look through it before you pass it on.
"""


def main(folder: Path, out: Path | None) -> int:
    """Write the bundle of the node in `folder`, and say where it is. Answers the exit status.

    Raises FileExistsError where there is something at its path already, a link that leads nowhere too.
    """
    if not (folder / "tls").is_dir():
        print(f"suan support-bundle: {folder} holds no node", file=sys.stderr)
        return 1
    now = datetime.now(UTC)
    path = out or Path(f"suanmesh-support-{now:%Y%m%dT%H%M%SZ}.tar.gz")
    try:
        with _created(path) as file:
            write_bundle(file, asyncio.run(gathered(folder, now)))
    except FileExistsError:
        raise
    except OSError as fault:
        print(f"suan support-bundle: {fault.filename}: {fault.strerror}", file=sys.stderr)
        return 1
    print(path)
    return 0


async def gathered(folder: Path, now: datetime) -> dict[str, str]:
    """Every file of the bundle by its name, redacted. What cannot be had says so in its place."""
    made = {
        "README.txt": README.format(folder=folder, now=f"{now:%Y-%m-%d %H:%M:%S}"),
        "versions.json": _json(_versions(folder)),
        "check.txt": "".join(f"{each.state:<8} {each.what:<12} {each.detail}\n" for each in findings_in(folder)),
        **_settings(folder),
        **_logs(folder),
    }
    try:
        made |= _answered(await scraped(targets_in(folder), operators_tls(folder)))
    except (OSError, ValueError, KeyError) as fault:
        made["processes.json"] = _json({"fault": str(fault)})
    made |= await _traces(folder)
    return {name: redacted(text) for name, text in made.items()}


@contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    """A new file for its owner alone, gone where it was not finished. Raises FileExistsError, OSError.

    Often it is root who makes it, in a folder where others may lay a link for it: nothing is followed or written over.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_bundle(file: BinaryIO, files: Mapping[str, str]) -> None:
    """Pack the files. Raises OSError."""
    with tarfile.open(fileobj=file, mode="w:gz") as bundle:
        for name, text in sorted(files.items()):
            content = text.encode(errors="replace")
            member = tarfile.TarInfo(f"suanmesh-support/{name}")
            member.size, member.mode = len(content), 0o600
            bundle.addfile(member, io.BytesIO(content))


def _versions(folder: Path) -> dict[str, object]:
    packages = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    disk = psutil.disk_usage(str(folder))
    return {
        "suanmesh": metadata.version("suanmesh"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": psutil.cpu_count(),
        "load": psutil.getloadavg(),
        "memory_bytes": psutil.virtual_memory().total,
        "memory_available_bytes": psutil.virtual_memory().available,
        "disk_free_bytes": disk.free,
        "packages": dict(sorted(packages.items())),
    }


def _answered(scrapes: list[Scrape]) -> dict[str, str]:
    made = {}
    told = []
    for each in scrapes:
        about = {"process": each.target.process, "area": each.target.area, "address": each.target.address}
        told.append({**about, "answers": each.answers, "ready": each.ready})
        if each.answers:
            made[f"health/{_file(each.target.process)}.txt"] = each.health
            made[f"metrics/{_file(each.target.process)}.txt"] = each.metrics
    return {"processes.json": _json(told), **made}


def _settings(folder: Path) -> dict[str, str]:
    """Of the files that systemd reads; where a process said itself how it is set up, that is in its log."""
    files = [*folder.glob("env/*.env"), *folder.glob("sites/*/agent.env")]
    return {f"settings/{_name_of(file, folder)}.env": _lines_of(file) for file in sorted(files)}


def _lines_of(file: Path) -> str:
    """Its settings one a line, unquoted, so that names and values are seen for what they are."""
    try:
        pairs = [each.partition("=") for each in shlex.split(file.read_text(errors="replace"))]
    except (OSError, ValueError) as fault:
        return f"cannot be read: {fault}\n"
    return "".join(f"{name}={json.dumps(value)}\n" for name, _, value in pairs)


def _logs(folder: Path) -> dict[str, str]:
    """Of each log the last line with settings, and the newest warnings and errors."""
    return {f"logs/{_name_of(file, folder)}": "".join(_told(file)) for file in sorted(folder.glob("logs/*.log"))}


def _told(file: Path) -> Iterator[str]:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - LOG_BYTES_MAX))
            lines = opened.read().decode(errors="replace").splitlines()
    except OSError as fault:
        yield f"cannot be read: {fault}\n"
        return
    parsed = [(line, _entry(line)) for line in lines]
    begun = [line for line, entry in parsed if entry.get("event") == FIRST]
    wrong = [line for line, entry in parsed if not entry or str(entry.get("level", "")).lower() in LEVELS]
    yield from (f"{line}\n" for line in [*begun[-1:], *wrong[-LINES_MAX:]])


def _entry(line: str) -> Mapping[str, object]:
    """A line of JSON; nothing for what is none, such as a traceback, which is kept."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _operator(folder: Path) -> Mesh:
    """The mesh as the operator whose key lies in the node's folder. Raises OSError, ValueError, KeyError."""
    context = tomllib.loads((folder / "config.toml").read_text())["contexts"]["operator"]
    ca, cert, key = (Path(context[kind]).read_bytes() for kind in ("ca", "cert", "key"))
    return connect(context["gateway"], tls=Tls(ca=ca, cert=cert, key=key), node=context["node"])


async def _traces(folder: Path) -> dict[str, str]:
    """The newest of the node's store, as its operator reads them."""
    try:
        async with asyncio.timeout(TRACES_S_MAX):
            async with _operator(folder) as mesh:
                newest = await mesh.gateway.ListTraces(
                    gateway.ListTracesRequest(page_size=TRACES), timeout=TRACES_S_MAX
                )
                found = [await mesh.gateway.GetTrace(gateway.GetTraceRequest(name=each.name)) for each in newest.traces]
    except (Refusal, OSError, ValueError, KeyError, TimeoutError) as fault:
        return {"traces/fault.txt": f"{type(fault).__name__}: {fault}\n"}
    return {f"{each.name}.json": _json(MessageToDict(each, preserving_proto_field_name=True)) for each in found}


def _name_of(file: Path, folder: Path) -> str:
    parts = file.relative_to(folder).parts
    return _file("-".join(parts[1:]).removesuffix(".env"))


def _file(name: str) -> str:
    return name.replace(" ", "-").replace("/", "-")


def _json(data: object) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"
