"""What a client shows and what it trusts, as it is at the moment: files may be replaced while they are in use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import grpc

from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_kernel.texts import Text

Pem = bytes | str | Path
"""PEM text itself, or the path of the file that holds it."""
NEXT = ".next"
"""Behind the name of a key's file: a key that is being certified, and takes its place once the certificate has."""
LOOK_S = 1.0
"""How often it is looked whether files have changed, at most, in seconds."""
READS_MAX = 5


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is shown and what is trusted at one moment, in PEM; certificate and key, which fit, may be empty."""

    ca: bytes
    certificate: bytes = b""
    key: bytes = b""

    def of_channel(self) -> grpc.ChannelCredentials:
        """As gRPC takes them."""
        return grpc.ssl_channel_credentials(self.ca, self.key or None, self.certificate or None)


@dataclass(frozen=True, slots=True)
class Tls:
    """The node's CA, and the caller's certificate with its key. Without a certificate only enrolment is open."""

    ca: Pem
    cert: Pem | None = None
    key: Pem | None = None

    @classmethod
    def of_folder(cls, folder: Path) -> Tls:
        """As an identity lies in a folder: ca.pem, cert.pem, key.pem."""
        return cls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")

    def read(self) -> Credentials:
        """What it holds now; of a certificate that is being replaced the key that fits it.

        Raises InvalidArgument (`FIELD_INVALID`) that names the file which cannot be read.
        """
        for _ in range(READS_MAX):
            before = self.stamps()
            ca, certificate, key = (_read(*each) for each in (("ca", self.ca), ("cert", self.cert), ("key", self.key)))
            made = self._made()
            if before == self.stamps():
                break
        if made and not fits(certificate, key) and fits(certificate, made):
            key = made
        return Credentials(ca, certificate, key)

    def stamps(self) -> tuple[tuple[int, int, int], ...]:
        """Others whenever a file was written."""
        return tuple(_stamp(path) for path in (self.ca, self.cert, self.key) if isinstance(path, str | Path))

    @property
    def key_file(self) -> Path | None:
        """The file of the key, where all of it lies in files."""
        in_files = all(isinstance(each, str | Path) for each in (self.ca, self.cert, self.key))
        return Path(self.key) if in_files and isinstance(self.key, str | Path) else None

    def _made(self) -> bytes:
        file = self.key_file
        made = file.with_name(file.name + NEXT) if file else None
        try:
            return made.read_bytes() if made else b""
        except OSError:
            return b""


class Shown:
    """What a `Tls` holds now, read again once a file of it was written. Call it: another object is another content."""

    def __init__(self, tls: Tls, monotonic: Callable[[], float]) -> None:
        """Raises as `Tls.read` does."""
        self.tls = tls
        self._monotonic = monotonic
        self._look_at = 0.0
        self._stamps = tls.stamps()
        self._credentials = tls.read()

    @property
    def known(self) -> Credentials:
        """As it was read last, without looking."""
        return self._credentials

    def __call__(self) -> Credentials:
        """As it was read last: what cannot be read, or does not fit, is not taken."""
        if self._stamps and (now := self._monotonic()) >= self._look_at:
            self._look_at = now + LOOK_S
            self.look()
        return self._credentials

    def look(self) -> None:
        """Look now whether a file was written."""
        stamps = self.tls.stamps()
        if stamps == self._stamps:
            return
        try:
            found = self.tls.read()
        except InvalidArgument:
            return
        if found.certificate and not fits(found.certificate, found.key):
            return  # half of it has been written
        self._stamps = stamps
        if found != self._credentials:
            self._credentials = found


def trouble_with(shown: Credentials, now: datetime) -> Text | None:
    """What is wrong with what a caller shows, as far as can be seen here: a handshake only says that it failed."""
    from cryptography import x509

    if not shown.certificate:
        return Text("no certificate is shown", "没有出示证书")
    try:
        x509.load_pem_x509_certificates(shown.ca)
        read = x509.load_pem_x509_certificate(shown.certificate)
    except ValueError:
        return Text("ca or cert is no certificate in PEM", "ca 或 cert 不是 PEM 格式的证书")
    begin, end = (f"{at:%Y-%m-%d %H:%M:%S}Z" for at in (read.not_valid_before_utc, read.not_valid_after_utc))
    if now > read.not_valid_after_utc:
        return Text(f"the certificate that is shown has expired at {end}", f"所出示的证书已于 {end} 过期")
    if now < read.not_valid_before_utc:
        return Text(
            f"the certificate that is shown is not yet valid before {begin}", f"所出示的证书在 {begin} 前尚未生效"
        )
    if not fits(shown.certificate, shown.key):
        return Text("the certificate that is shown is not that of the key", "所出示的证书与密钥不符")
    return None


def fits(certificate: bytes, key: bytes) -> bool:
    """Whether a certificate is that of a key, both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        certified = x509.load_pem_x509_certificate(certificate).public_key()
        return certified == load_pem_private_key(key, password=None).public_key()
    except ValueError:
        return False


def _stamp(path: str | Path) -> tuple[int, int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return 0, 0, 0
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(field: str, pem: Pem | None) -> bytes:
    if pem is None or isinstance(pem, bytes):
        return pem or b""
    try:
        return Path(pem).read_bytes()
    except OSError as error:
        raise InvalidArgument("FIELD_INVALID", f"{field}: {pem}: {error.strerror}", field=field) from error
