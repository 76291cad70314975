"""A slow reference for searches, one row at a time, and pools to search; for tests and for `bench/registry.py`."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from google.protobuf.message import Message

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh.type.v1 import capacity_pb2
from suanmesh_kernel.filter_fields import FieldKind
from suanmesh_kernel.filter_terms import And, Comparison, Expression, Not, Or
from suanmesh_registry.catalogue import fields
from suanmesh_registry.fields import choices

Plain = str | int | bool | datetime
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    ":": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Found:
    """A pool with what is known of it."""

    pool: pool_pb2.Pool
    site: site_pb2.Site | None
    state: pool_pb2.PoolState | None = None


def searched(term: Expression, rows: Iterable[Found], *, after: str = "", limit: int) -> list[str]:
    """What a search answers, found by looking at every row in turn."""
    kept = (row.pool.name for row in rows if row.site is not None and row.pool.name > after and keeps(term, row))
    return sorted(kept)[:limit]


def keeps(term: Expression, row: Found) -> bool:
    """Whether a filter keeps a row."""
    match term:
        case And(parts):
            return all(keeps(part, row) for part in parts)
        case Or(parts):
            return any(keeps(part, row) for part in parts)
        case Not(part):
            return not keeps(part, row)
        case Comparison():
            return _compared(term, row)


def _compared(term: Comparison, row: Found) -> bool:
    values = list(_values_at(row, term.path))
    if term.operator == ":" and term.value == "*" and not term.quoted:
        return bool(values)
    equal = any(_matches(term, value) for value in values)
    return not equal if term.operator == "!=" else equal


def _matches(term: Comparison, value: Plain) -> bool:
    field = fields()[term.path]
    if field.kind is FieldKind.TEXT:
        text, asked = str(value), term.value
        if term.operator == ":" and not field.repeated:
            return asked in text
        if asked.count("*") != 1:
            return text == asked
        head, tail = asked.split("*")
        return text.startswith(head) and text.endswith(tail) and len(text) >= len(head) + len(tail)
    wanted: Any = term.value
    if field.kind is FieldKind.NUMBER:
        wanted = Decimal(term.value)
    elif field.kind is FieldKind.FLAG:
        wanted = term.value == "true"
    elif field.kind is FieldKind.TIME:
        time = datetime.fromisoformat(term.value)
        wanted = time if time.tzinfo else time.replace(tzinfo=UTC)
    return _ORDER["=" if term.operator == "!=" else term.operator](value, wanted)


def _values_at(row: Found, path: str) -> Iterator[Plain]:
    root, _, rest = path.partition(".")
    if root == "site":
        return _values(row.site, rest.split("."))
    if root == "free":
        free = row.state.free if row.state is not None and row.state.HasField("free") else None
        return _values(free, rest.split("."))
    return _values(row.pool, path.split("."))


def _values(message: Message | None, names: list[str]) -> Iterator[Plain]:
    if message is None:
        return
    field = message.DESCRIPTOR.fields_by_name[names[0]]
    if not field.is_repeated and field.has_presence and not message.HasField(field.name):
        return
    held = getattr(message, field.name)
    for value in held if field.is_repeated else (held,):
        if len(names) > 1:
            yield from _values(value, names[1:])
        elif field.message_type is not None:
            yield value.ToDatetime(UTC)
        elif field.enum_type is not None:
            if name := choices(field.enum_type.full_name).get(value):
                yield name
        elif value != "":
            yield value


MODELS = {"gpu": ("A100", "H200", "MI300X"), "npu": ("Ascend-910B", "MLU590")}


def some_sites(count: int, chance: random.Random) -> list[site_pb2.Site]:
    """Sites as providers enrol them."""
    return [
        site_pb2.Site(
            name=f"sites/site-{number:05}",
            party=f"parties/p{number % 97}",
            city_code=chance.choice(("110000", "310000", "520100", "")),
            residency=chance.sample(("cn", "eu", "sg"), chance.randint(0, 2)),
            pue_milli=chance.randint(1_050, 1_600) if chance.random() < 0.8 else None,
            liveness=chance.choice(site_pb2.Site.Liveness.values()[1:]),
        )
        for number in range(count)
    ]


def some_pool(name: str, chance: random.Random) -> pool_pb2.Pool:
    """A pool as an agent describes it."""
    pool = pool_pb2.Pool(
        name=name,
        identifier=f"cri:1:demo:{chance.getrandbits(64):016x}",
        party=f"parties/p{chance.randrange(97)}",
        architecture=chance.choice(("x86_64", "aarch64")),
        hosts=[pool_pb2.Host(name=f"h{number}") for number in range(chance.randint(1, 4))],
        host_capacity=some_capacity(chance, share=1),
        runtimes=chance.sample(("python3.11", "python3.12", "bash", "cuda12"), 2),
        generation=chance.randint(1, 9),
        phase=chance.choice(pool_pb2.Pool.Phase.values()[1:]),
        offers=[
            pool_pb2.Offer(
                name=f"{name}/offers/o", kind=chance.choice(pool_pb2.Offer.Kind.values()[1:]), max_duration_s=3_600
            )
        ],
        capacity_origin=capacity_pb2.ORIGIN_PROBED,
    )
    for quantity in chance.sample(("sha256_bytes_per_s", "tasks_walled_off", "fp16_flops"), chance.randint(0, 3)):
        pool.capabilities.add(quantity=quantity, value=chance.randrange(10**9), unit="1/s", origin=2)
    pool.create_time.FromSeconds(1_700_000_000 + chance.randrange(10**7))
    return pool


def some_capacity(chance: random.Random, *, share: float) -> capacity_pb2.Capacity:
    """What a host holds, or some share of it."""
    cpus = chance.choice((8, 32, 64, 128))
    capacity = capacity_pb2.Capacity(cpu_milli=int(share * cpus * 1_000), memory_bytes=int(share * cpus * 2**32))
    for kind in chance.sample(sorted(MODELS), chance.randint(0, 1)):
        card = {"class": kind, "model": chance.choice(MODELS[kind]), "memory_bytes": 80 * 10**9}
        capacity.devices.add(**card, count=max(1, int(share * 8)), shareable=chance.random() < 0.3)
    return capacity
