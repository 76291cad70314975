"""What a client shows and what it trusts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from suanmesh_kernel.refusals import InvalidArgument

Pem = bytes | str | Path
"""PEM text itself, or the path of the file that holds it."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The node's CA, and the caller's certificate with its key. Without a certificate only enrolment is open."""

    ca: Pem
    cert: Pem | None = None
    key: Pem | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files and make the channel's credentials.

        Raises InvalidArgument (`FIELD_INVALID`) that names the file which cannot be read.
        """
        return grpc.ssl_channel_credentials(
            root_certificates=self.ca_pem(),
            private_key=self.key_pem() or None,
            certificate_chain=self.cert_pem() or None,
        )

    def ca_pem(self) -> bytes:
        """The CA's certificate. Raises as `credentials` does."""
        return _read("ca", self.ca)

    def cert_pem(self) -> bytes:
        """The caller's certificate, empty without one. Raises as `credentials` does."""
        return b"" if self.cert is None else _read("cert", self.cert)

    def key_pem(self) -> bytes:
        """The key of the caller's certificate, empty without one. Raises as `credentials` does."""
        return b"" if self.key is None else _read("key", self.key)


def _read(field: str, pem: Pem) -> bytes:
    if isinstance(pem, bytes):
        return pem
    try:
        return Path(pem).read_bytes()
    except OSError as error:
        raise InvalidArgument("FIELD_INVALID", f"{field}: {pem}: {error.strerror}", field=field) from error
