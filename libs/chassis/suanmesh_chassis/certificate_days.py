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
        self._ends: dict[Path, tuple[int, datetime]] = {}

    def readings(self) -> Iterator[Reading]:
        """Seconds left of each that there is."""
        now = self._clock.now()
        for kind, file in self._files.items():
            if (end := self._end(file)) is not None:
                yield Reading(names.CERTIFICATE_EXPIRY, (end - now).total_seconds(), (kind,))

    def _end(self, file: Path) -> datetime | None:
        """When the first of those in a file that expires does so."""
        try:
            written = file.stat().st_mtime_ns
            if self._ends.get(file, (0,))[0] != written:
                ends = [each.not_valid_after_utc for each in x509.load_pem_x509_certificates(file.read_bytes())]
                self._ends[file] = (written, min(ends))
        except (OSError, ValueError):
            return None
        return self._ends[file][1]
