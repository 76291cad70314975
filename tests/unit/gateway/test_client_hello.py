"""Which server a TLS client asks for, read from bytes that anybody may send."""

from __future__ import annotations

import ssl
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_gateway.domain.client_hello import HELLO_BYTES_MAX, NotClientHello, server_name

NAMES = st.from_regex(r"agent\.[a-z][a-z0-9-]{0,40}[a-z0-9]\.demo\.suanmesh", fullmatch=True)


CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname = False


def hello(name: str | None) -> bytes:
    """What the client of the ssl module begins with."""
    sent = ssl.MemoryBIO()
    client = CLIENT.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def in_records(content: bytes, size: int) -> bytes:
    """The same handshake in records of so many bytes."""
    message = content[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(content[:3] + len(piece).to_bytes(2, "big") + piece for piece in pieces)


@given(NAMES, st.integers(20, 2000), st.data())
def test_the_name_is_found_however_the_hello_is_cut(name: str, size: int, data: st.DataObject) -> None:
    """A network cuts where it likes; a client may use as many records as it likes."""
    whole = hello(name)
    for content in (whole, in_records(whole, size)):
        assert server_name(content + b"and what follows") == name
        assert server_name(content[: data.draw(st.integers(0, len(content) - 1))]) is None


def test_a_client_that_names_no_server_is_refused() -> None:
    """There is nowhere to bring it."""
    with pytest.raises(NotClientHello, match="names no server"):
        server_name(hello(None))


@given(st.binary(max_size=600), st.integers(0, 300), st.booleans())
def test_whatever_comes_is_a_name_or_refused_or_waited_for(noise: bytes, at: int, within: bool) -> None:
    """A stranger must not have the gateway fall over, nor have it gather bytes without end."""
    whole = hello("agent.a.demo.suanmesh")
    content = whole[:at] + noise + (whole[at + len(noise) :] if within else b"")
    for more, may_wait in ((b"", True), (bytes(HELLO_BYTES_MAX), False)):
        with suppress(NotClientHello):
            found = server_name(content + more)
            assert found.isascii() if found is not None else may_wait
