"""For how long the certificates of a process are good, read from its files as they are now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography import x509

from suanmesh_chassis.process import Process
from suanmesh_telemetry import names
from suanmesh_telemetry.readings import Reading


class CertificateDays:
    """The process' own certificate, its authority's, and what it shows to etcd; a file is read when it has changed."""

    def __init__(self, process: Process) -> None:
        common = process.common
        self._clock = process.clock
        self._files = {"process": common.tls_dir / "cert.pem", "ca": common.tls_dir / "ca.pem"}
        if common.etcd_tls_dir is not None:
            self._files["etcd"] = common.etcd_tls_dir / "cert.pem"
        self._windows: dict[Path, tuple[int, tuple[datetime, datetime]]] = {}

    def readings(self) -> Iterator[Reading]:
        """Seconds left, and altogether, of each that there is."""
        now = self._clock.now()
        for kind, file in self._files.items():
            if (window := self._window(file)) is not None:
                begin, end = window
                yield Reading(names.CERTIFICATE_EXPIRY, (end - now).total_seconds(), (kind,))
                yield Reading(names.CERTIFICATE_LIFETIME, (end - begin).total_seconds(), (kind,))

    def _window(self, file: Path) -> tuple[datetime, datetime] | None:
        """From when and until when that one in a file is good which expires first."""
        try:
            written = file.stat().st_mtime_ns
            if file not in self._windows or self._windows[file][0] != written:
                first = min(
                    x509.load_pem_x509_certificates(file.read_bytes()), key=lambda each: each.not_valid_after_utc
                )
                self._windows[file] = (written, (first.not_valid_before_utc, first.not_valid_after_utc))
        except (OSError, ValueError):
            return None
        return self._windows[file][1]
