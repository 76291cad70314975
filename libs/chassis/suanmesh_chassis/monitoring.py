"""What a process tells whoever watches over it: metrics for Prometheus, and its health for probes, over HTTP."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata

import structlog

from suanmesh_chassis.call import Caller
from suanmesh_chassis.certificate_days import CertificateDays
from suanmesh_chassis.http_listener import Answer, HttpListener, HttpRequest
from suanmesh_chassis.http_tls import NOT_ADMITTED, ReloadingTls, reader_of
from suanmesh_chassis.process import Process
from suanmesh_chassis.revocations import nobody
from suanmesh_kernel.addresses import host_of, is_loopback
from suanmesh_kernel.refusals import Refusal
from suanmesh_telemetry import names
from suanmesh_telemetry.metrics import DEFECTS, LOOP_LAG
from suanmesh_telemetry.readings import Reading, Readings, exposition

log = structlog.get_logger()

LOOK_S = 0.5
"""How often it is looked how late the event loop is, seconds."""
TEXT = "text/plain; charset=utf-8"

Health = Callable[[], tuple[bool, Mapping[str, bool]]]
"""Whether calls may come, and of each component whether it does its part."""


class Monitoring:
    """One listener of a process, where its settings name one: `/metrics`, `/healthz`, `/readyz`.

    It answers from the event loop, so that `/healthz` is silent where that stands still. On the loopback it is plain;
    elsewhere metrics are for operators and the party that the settings name, by their certificates.
    """

    def __init__(self, process: Process, health: Health, revoked: Callable[[Caller], Refusal | None] = nobody) -> None:
        """`revoked` says who is refused whose certificate is good."""
        self._process = process
        self._health = health
        self._revoked = revoked
        self._read: list[Readings] = [self._own, CertificateDays(process).readings]

    async def run(self) -> None:
        """Answer until cancelled; at once where no address is named. Raises OSError where it is taken."""
        common = self._process.common
        if not common.metrics_listen:
            return
        tls = None if is_loopback(host_of(common.metrics_listen)) else ReloadingTls(common.tls_dir)
        async with HttpListener(common.metrics_listen, self.answer, tls), asyncio.TaskGroup() as tasks:
            log.info("metrics served", address=common.metrics_listen)
            tasks.create_task(self._watch_loop())
            if tls is not None:
                tasks.create_task(tls.run())

    def show(self, read: Readings) -> None:
        """Show these with the others for good."""
        self._read.append(read)

    @contextmanager
    def showing(self, readings: Sequence[Readings]) -> Iterator[None]:
        """Show these with the others."""
        self._read += readings
        try:
            yield
        finally:
            for each in readings:
                self._read.remove(each)

    def readings(self) -> Iterator[Reading]:
        """Everything that is read now. What cannot be read is a defect, and leaves the others alone."""
        for read in list(self._read):
            try:
                yield from list(read())
            except Exception as failure:
                DEFECTS.labels("metrics").inc()
                log.error("metrics not read", work="metrics", exc_info=failure)

    def _own(self) -> Iterator[Reading]:
        yield Reading(names.BUILD, 1, (metadata.version("suanmesh"),))
        yield Reading(names.READY, self._health()[0])
        folder = self._process.common.data_dir
        with suppress(OSError):
            there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
            yield Reading(names.DISK_FREE, shutil.disk_usage(there).free)

    def answer(self, request: HttpRequest) -> Answer:
        """What is answered to a request."""
        match request.path:
            case "/healthz":
                return Answer(200, TEXT, b"ok\n")
            case "/readyz":
                ready, components = self._health()
                lines = ["ready" if ready else "not ready"]
                lines += [f"{name} {'ok' if does else 'has a fault'}" for name, does in sorted(components.items())]
                return Answer(200 if ready else 503, TEXT, ("\n".join(lines) + "\n").encode())
            case "/metrics" if request.secure and not reader_of(request.certificate, self._process, self._revoked):
                return Answer(403, TEXT, NOT_ADMITTED)
            case "/metrics":
                body, content_type = exposition(self.readings, request.accept)
                return Answer(200, content_type, body)
        return Answer(404, TEXT, b"/metrics, /healthz, /readyz\n")

    async def _watch_loop(self) -> None:
        clock = self._process.clock
        while True:
            due = clock.monotonic() + LOOK_S
            await asyncio.sleep(LOOK_S)
            LOOP_LAG.observe(max(0.0, clock.monotonic() - due))
