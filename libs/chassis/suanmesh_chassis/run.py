"""Runs one service: settings, etcd, and then its life until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import structlog

from suanmesh_chassis.ca import server_name
from suanmesh_chassis.etcd_members import EtcdMembers
from suanmesh_chassis.event_loop import run_on_loop
from suanmesh_chassis.identity import service_id
from suanmesh_chassis.lifecycle import Lifecycle
from suanmesh_chassis.memory import SpareMemory, give_memory_back
from suanmesh_chassis.parts import Parts, ServiceContext
from suanmesh_chassis.process import open_process
from suanmesh_chassis.settings import Common, load
from suanmesh_chassis.span_backends import span_backends
from suanmesh_chassis.trust import load_trust
from suanmesh_etcd3 import Tls as EtcdTls
from suanmesh_etcd3 import connect as connect_etcd
from suanmesh_kernel.clock import Clock, SystemClock, system_rng
from suanmesh_kernel.private import keep_private, private_folder, tighten
from suanmesh_kernel.refusals import Refusal
from suanmesh_sdk import Tls
from suanmesh_sdk.tls import Credentials, Shown
from suanmesh_store.etcd import EtcdKeyspace
from suanmesh_store.soundness import StoreCorrupt, StoreRefused, damage_among
from suanmesh_telemetry.traces import Target

S = TypeVar("S")

log = structlog.get_logger()

FILES_MAX = 65_536
EXIT_FAILED = 1
EXIT_SETTINGS = 2
EXIT_DAMAGED = 3
"""A store that must not be lost is damaged: to start again helps no more than it did."""


def run(
    area: str,
    settings: type[S],
    build: Callable[[ServiceContext[S]], Awaitable[Parts]],
    *,
    edge: bool = False,
) -> None:
    """Run the service of `area` until SIGTERM or SIGINT.

    Exits with 0 when told to stop, 1 after a failure, 2 where a setting is wrong, 3 where a store is damaged. `--check`
    only checks the settings. `build` makes what the process serves for as long as it lives. Where that has a `term` the
    process campaigns: until it leads, what only the leader serves is refused with NOT_LEADER; when it has lost its
    lead, all that was built for the term ends, and it campaigns again. With `edge` each connection is one caller's, not
    that of a gateway that brings the calls of many.
    """
    environment = os.environ  # noqa: TID251 - the one reader
    sys.exit(main(area, settings, build, sys.argv[1:], environment, edge=edge))


def main(
    area: str,
    settings: type[S],
    build: Callable[[ServiceContext[S]], Awaitable[Parts]],
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    edge: bool = False,
) -> int:
    """What `run` does; returns the exit status."""
    keep_private()
    give_memory_back(packs=edge)
    if arguments not in ([], ["--check"]):
        print(f"usage: suanmesh-{area.replace('_', '-')} [--check]", file=sys.stderr)
        return EXIT_SETTINGS
    try:
        common = load(Common, "SUANMESH_", environment)
        own = load(settings, f"SUANMESH_{area.upper()}_", environment)
        backends = span_backends(common, environment)
        load_trust(common.tls_dir, common.node, Tls.of_folder(common.tls_dir).read().ca)
    except (Refusal, OSError, ValueError) as problem:
        print(f"settings: {problem}", file=sys.stderr)
        return EXIT_SETTINGS
    if arguments:
        return 0
    return run_on_loop(_serve(area, common, own, backends, build, edge=edge))


async def _serve(
    area: str,
    common: Common,
    settings: S,
    backends: Sequence[Target],
    build: Callable[[ServiceContext[S]], Awaitable[Parts]],
    *,
    edge: bool,
) -> int:
    clock, rng = SystemClock(), system_rng
    _allow_files()
    stop = stop_signal()
    private_folder(common.data_dir)
    process = open_process(area, service_id(common.node, area), common, settings, clock, rng, backends)
    shut_folders(common.data_dir, common.tls_dir, *([common.etcd_tls_dir] if common.etcd_tls_dir else []))
    try:
        async with AsyncExitStack() as stack:
            if edge:
                spare = SpareMemory()
                spare.look_again()
                stack.callback(spare.stop)
            client = await stack.enter_async_context(
                connect_etcd(common.etcd_endpoints, tls=_etcd_tls(common, clock), clock=clock, follows=True)
            )
            client.history.tell = _tell_replaced_history
            members = EtcdMembers(lambda: [each.address for each in client.endpoints.all], client.status)
            lifecycle = Lifecycle(process, EtcdKeyspace(client), settings, rng, edge=edge, members=members)
            await lifecycle.live(build, stop)
    except Exception as failure:
        if damage := damage_among(failure):
            print(f"suanmesh-{area.replace('_', '-')}: {told_damage(damage)}", file=sys.stderr)
            return EXIT_DAMAGED
        log.error("process failed", exc_info=failure)
        return EXIT_FAILED
    finally:
        await process.close()
    log.info("process ended")
    return 0


def told_damage(damage: StoreCorrupt) -> str:
    """What to tell of a store, on one line: a refusal with its code, and where `LANG` is Chinese in Chinese."""
    if not isinstance(damage, StoreRefused):
        return str(damage)
    chinese = os.environ.get("LANG", "").startswith("zh")  # noqa: TID251 - the language of whoever reads the log
    return f"{damage.reason}: {damage.text.of('zh' if chinese else 'en')}"


def _tell_replaced_history() -> None:
    """Say that etcd is another than it was; leases are lost, terms end and watches list anew by themselves."""
    message = "its revision went back, or its cluster is another: all that was read from it is read anew"
    log.warning("etcd was restored", message=message)


def shut_folders(*folders: Path, but: Collection[str] = ()) -> None:
    """Shut what lies in folders of this process to others; what cannot be shut is told, and stops nothing."""
    for folder in folders:
        if stays := tighten(folder, but=but):
            log.warning("files stay open to others", message=f"{stays} of {folder}")


def stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second ends the process the hard way."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told(which: signal.Signals) -> None:
        loop.remove_signal_handler(which)
        stop.set()

    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, told, which)
    return stop


def _etcd_tls(common: Common, clock: Clock) -> Callable[[], EtcdTls] | None:
    """What is shown to etcd at the moment; None for an etcd without TLS."""
    if common.etcd_tls_dir is None:
        return None
    shown = Shown(Tls.of_folder(common.etcd_tls_dir), clock.monotonic)
    name = server_name(common.node, "etcd")

    @lru_cache(maxsize=1)
    def as_etcd_has_it(found: Credentials) -> EtcdTls:
        return EtcdTls(found.ca, found.certificate, found.key, name)

    return lambda: as_etcd_has_it(shown())


def _allow_files() -> None:
    """Have room for more open files where the system lets us: each connection is one, and the usual 1024 are few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
