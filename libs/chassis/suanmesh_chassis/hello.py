"""What a process says of itself, on the wire."""

from __future__ import annotations

from functools import cache
from importlib import metadata

from suanmesh.type.v1.hello_pb2 import Hello
from suanmesh_kernel.protocols import OWN, Spoken


@cache
def version() -> str:
    """Of the software as this process began with it."""
    return metadata.version("suanmesh")


def own_hello() -> Hello:
    """What this process speaks."""
    return Hello(version=version(), protocol=OWN.newest, protocol_oldest=OWN.oldest)


def spoken_by(hello: Hello) -> Spoken:
    """What another process says that it speaks; one that says nothing speaks the first version."""
    return Spoken(hello.protocol or 1, hello.protocol_oldest or hello.protocol or 1)
