"""What a method declares of itself (`type.v1.Semantics`), read once from its descriptor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from google.protobuf import descriptor_pool

from suanmesh.type.v1 import semantics_pb2


@dataclass(frozen=True, slots=True)
class Method:
    """One method as a caller sees it."""

    name: str
    """`suanmesh.registry.v1.RegistryService/GetSite`."""
    area: str
    """`registry`; empty for a service that is not ours."""
    effect: str
    """`READ`, `IDEMPOTENT`, `KEYED`, `STREAM`, or empty where none is declared."""

    led: bool
    """Whether only the leader serves it, as is assumed of what does not say."""
    resumes_by: str = ""
    """Field of the answers of a stream by which it is resumed; empty where it cannot be."""

    @property
    def repeatable(self) -> bool:
        """Whether the same call may be made again when its outcome is not known."""
        return self.effect in ("READ", "IDEMPOTENT", "KEYED") or bool(self.resumes_by)


@lru_cache(maxsize=1024)
def declared(path: str) -> Method:
    """The method behind `/package.Service/Method`; one without declared semantics is never repeated."""
    name = path.lstrip("/")
    service_name, _, method_name = name.partition("/")
    parts = service_name.split(".")
    area = parts[1] if len(parts) > 2 and parts[0] == "suanmesh" else ""
    semantics = _semantics(service_name, method_name)
    effect = semantics_pb2.Effect.Name(semantics.effect).removeprefix("EFFECT_").replace("UNSPECIFIED", "")
    led = semantics.served_by != semantics_pb2.SERVED_BY_ANY
    return Method(name, area, effect, led=led, resumes_by=semantics.resumes_by)


def _semantics(service_name: str, method_name: str) -> semantics_pb2.Semantics:
    try:
        method = descriptor_pool.Default().FindServiceByName(service_name).methods_by_name[method_name]
    except KeyError:
        return semantics_pb2.Semantics()
    declared: semantics_pb2.Semantics = method.GetOptions().Extensions[semantics_pb2.semantics]
    return declared
