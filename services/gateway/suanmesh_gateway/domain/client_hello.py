"""The first message of a TLS client, read for the one thing in it that tells where it wants to go (RFC 8446, 6066)."""

from __future__ import annotations

HELLO_BYTES_MAX = 16 * 1024
"""Of all records that one may come in: those of browsers and of gRPC have less than two thousand bytes."""
_HANDSHAKE_RECORD = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0
_VERSION_AND_RANDOM = 34
_NAME_BYTES_MAX = 255


class NotClientHello(ValueError):
    """What came is no TLS client's, or is one that names no server."""


def server_name(content: bytes) -> str | None:
    """The server that a client asks for (`server_name`); None while more has to come.

    `content` is what the connection began with, records and all. Raises NotClientHello.
    """
    message = _handshake(content)
    if message is None:
        return None
    fields = _Fields(message)
    fields.skip(_VERSION_AND_RANDOM)
    fields.part(1)  # the session
    fields.part(2)  # the ciphers
    fields.part(1)  # the compressions
    extensions = _Fields(fields.part(2))
    while extensions.left:
        kind, extension = extensions.number(2), extensions.part(2)
        if kind == _SERVER_NAME:
            return _host_name(extension)
    raise NotClientHello("it names no server")


def _handshake(content: bytes) -> bytes | None:
    """The body of the ClientHello, out of one record or more; None while it is not whole."""
    message = b""
    records = content
    while records:
        if records[0] != _HANDSHAKE_RECORD:
            raise NotClientHello("it does not begin with a handshake")
        size = int.from_bytes(records[3:5], "big")
        if len(records) >= 5 and not size:
            raise NotClientHello("a record is empty")
        message += records[5 : 5 + size]
        if message and message[0] != _CLIENT_HELLO:
            raise NotClientHello("the handshake does not begin with a client's hello")
        body = int.from_bytes(message[1:4], "big")
        if body > HELLO_BYTES_MAX:
            raise NotClientHello(f"it has {body} bytes")
        if len(message) >= 4 + max(body, 1):
            return message[4 : 4 + body]
        records = records[5 + size :] if len(records) >= 5 + size else b""
    if len(content) >= HELLO_BYTES_MAX:
        raise NotClientHello(f"it has not ended after {len(content)} bytes")
    return None


def _host_name(extension: bytes) -> str:
    names = _Fields(_Fields(extension).part(2))
    while names.left:
        kind, name = names.number(1), names.part(2)
        if kind == _HOST_NAME and name.isascii() and len(name) <= _NAME_BYTES_MAX:
            return name.decode("ascii")
    raise NotClientHello("it names no server")


class _Fields:
    """Numbers, and parts that tell their length first, one behind the other."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._content) - self._at

    def skip(self, size: int) -> bytes:
        """The next so many bytes. Raises NotClientHello where there are fewer."""
        if self.left < size:
            raise NotClientHello("a length leads beyond its end")
        self._at += size
        return self._content[self._at - size : self._at]

    def number(self, size: int) -> int:
        """A number of so many bytes."""
        return int.from_bytes(self.skip(size), "big")

    def part(self, size: int) -> bytes:
        """A part whose length is a number of so many bytes."""
        return self.skip(self.number(size))
