"""Searches of the columns answer what a walk over every pool answers, whatever was registered, reported and removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from suanmesh.registry.v1 import pool_pb2, site_pb2
from suanmesh_kernel.filter_fields import Between, Equal, Field, FieldKind, Present
from suanmesh_kernel.filter_terms import And, Comparison, Expression, Not, Or
from suanmesh_registry.catalogue import Catalogue, fields
from suanmesh_registry.domain.columns import WASTE_MIN, Table
from suanmesh_registry.domain.filters import planned
from suanmesh_registry.testing import Found, searched
from suanmesh_store import Changed, Held, Mirror
from suanmesh_store.layout import POOLS, SITES, M

TEXTS = st.sampled_from(["", "a", "ab", "aba", "q\"'", "back\\slash", "s*r", "é𠀀", "x y", "nul\0", "AND", "*", "-a"])
NUMBERS = st.sampled_from([0, 1, -1, 7, 8, 10**12, 2**63 - 1, -(2**63)])
SITE_NAMES = st.sampled_from(["sites/s0", "sites/s1", "sites/s2"])
POOL_NAMES = st.builds("{}/pools/q{}".format, SITE_NAMES, st.integers(0, 3))
STAMPS = st.sampled_from([{"seconds": 0}, {"seconds": 1_700_000_000, "nanos": 123_456_789}, {"seconds": -5}])
ORIGINS = st.sampled_from([0, 1, 2, 77])


def some(*options: Any) -> Any:
    return st.lists(st.one_of(*options), max_size=2)


DEVICES = st.fixed_dictionaries(
    {"class": TEXTS, "model": TEXTS, "count": st.integers(-1, 9), "shareable": st.booleans(), "memory_bytes": NUMBERS}
)
CAPACITIES = st.fixed_dictionaries({"cpu_milli": NUMBERS, "devices": some(DEVICES)})
POOLS_DRAWN = st.fixed_dictionaries(
    {"architecture": TEXTS, "runtimes": some(TEXTS.filter(bool)), "generation": NUMBERS, "phase": ORIGINS},
    optional={
        "host_capacity": CAPACITIES,
        "hosts": some(st.fixed_dictionaries({"name": TEXTS}, optional={"capacity": CAPACITIES})),
        "capabilities": some(
            st.fixed_dictionaries(
                {"quantity": TEXTS, "value": NUMBERS, "origin": ORIGINS}, optional={"measure_time": STAMPS}
            )
        ),
        "create_time": STAMPS,
    },
)
SITES_DRAWN = st.fixed_dictionaries(
    {"city_code": TEXTS, "residency": some(TEXTS.filter(bool)), "liveness": ORIGINS},
    optional={"pue_milli": st.integers(0, 9)},
)
STATES_DRAWN = st.fixed_dictionaries({}, optional={"free": CAPACITIES})
STEPS = st.one_of(
    st.tuples(st.just("pool"), POOL_NAMES, st.one_of(st.none(), POOLS_DRAWN, POOLS_DRAWN)),
    st.tuples(st.just("site"), SITE_NAMES, st.one_of(st.none(), SITES_DRAWN, SITES_DRAWN)),
    st.tuples(st.just("state"), POOL_NAMES, st.one_of(st.none(), STATES_DRAWN)),
)
PATHS = st.sampled_from(
    [
        path
        for path in fields()
        if path.rpartition(".")[2] in ("name", "architecture", "runtimes", "generation", "phase", "cpu_milli", "value")
        or path.endswith((".class", "shareable", "count", "_time", "residency", "city_code", "liveness", "pue_milli"))
    ]
)


class Source:
    """Stands where a mirror feeds the catalogue."""

    def project(self, projection: Any) -> None:
        self.projection = projection

    def tell(self, kind: Any, *changes: tuple[str, Any]) -> None:
        self.projection.apply([Changed(name, message and a_held(kind, name, message)) for name, message in changes])


def a_held(kind: Any, name: str, message: M) -> Held[M]:
    return Held(kind, name, message, "u", 1, 1, 0, "", "", "", cast(Any, None))


@dataclass
class World:
    """A catalogue, and plainly what it was told."""

    sites: Source = field(default_factory=Source)
    pools: Source = field(default_factory=Source)
    known: dict[str, dict[str, Any]] = field(default_factory=lambda: {"pool": {}, "site": {}, "state": {}})

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(cast(Mirror[site_pb2.Site], self.sites), cast(Mirror[pool_pb2.Pool], self.pools))
        self.tells: dict[str, Callable[[str, Any], None]] = {
            "pool": lambda name, message: self.pools.tell(POOLS, (name, message)),
            "site": lambda name, message: self.sites.tell(SITES, (name, message)),
            "state": lambda name, state: self.catalogue.observe([state]) if state else self.catalogue.forget([name]),
        }

    def step(self, what: str, name: str, drawn: Mapping[str, Any] | None) -> None:
        kinds = {"pool": pool_pb2.Pool, "site": site_pb2.Site, "state": pool_pb2.PoolState}
        message = None if drawn is None else kinds[what](name=name, **drawn)
        self.known[what].pop(name, None)
        if message is not None:
            self.known[what][name] = message
        self.tells[what](name, message)

    def rows(self) -> list[Found]:
        sites, states = self.known["site"], self.known["state"]
        return [
            Found(pool, sites.get(name.rsplit("/", 2)[0]), states.get(name))
            for name, pool in self.known["pool"].items()
        ]


@st.composite
def comparisons(draw: st.DrawFn) -> Expression:
    """A comparison that the field allows, with a value that may be there."""
    path = draw(PATHS)
    asked = fields()[path]
    if draw(st.integers(0, 7)) == 0:
        return Comparison(path, ":", "*", False, 0, 0)
    signs = [":"] if asked.repeated else ["=", "!=", ":"]
    value = draw(
        {
            FieldKind.TEXT: st.one_of(TEXTS, st.sampled_from(["a*", "*a", "a*a", "**", "sites/s1/*", "*/q2", "s1"])),
            FieldKind.NUMBER: st.one_of(NUMBERS.map(str), st.sampled_from(["0.5", "-0.5", "1E+30", "7.0", "-1E30"])),
            FieldKind.FLAG: st.sampled_from(["true", "false"]),
            FieldKind.TIME: st.sampled_from(["1970-01-01", "2023-11-14T22:13:20.123456Z", "1969-12-31T23:59:55+00:00"]),
            FieldKind.CHOICE: st.sampled_from(sorted(asked.choices) or [""]),
        }[asked.kind]
    )
    if asked.kind in (FieldKind.NUMBER, FieldKind.TIME) and not asked.repeated:
        signs += ["<", "<=", ">", ">="]
    return Comparison(path, draw(st.sampled_from(signs)), value, True, 0, 0)


def terms() -> st.SearchStrategy[Expression]:
    def grown(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return st.one_of(inner.map(Not), parts.map(And), parts.map(Or))

    return st.one_of(st.just(And(())), st.recursive(comparisons(), grown, max_leaves=6))


def written(term: Expression, *, inside: str = "") -> str:
    """The filter that stands for a term, with no more parentheses than AIP-160 needs: OR binds tighter than AND."""
    match term:
        case And(parts):
            text = " AND ".join(written(part, inside="and") for part in parts)
            return f"({text})" if inside else text
        case Or(parts):
            text = " OR ".join(written(part, inside="or") for part in parts)
            return f"({text})" if inside in ("or", "not") else text
        case Not(part):
            return f"NOT {written(part, inside='not')}"
        case Comparison():
            value = '"' + term.value.replace("\\", "\\\\").replace('"', '\\"') + '"' if term.quoted else term.value
            return f"{term.path} {term.operator} {value}"


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25), st.lists(terms(), min_size=1, max_size=4), st.integers(1, 12), POOL_NAMES)
def test_a_search_finds_what_a_walk_finds(
    steps: Sequence[tuple[str, str, Any]], asked: Sequence[Expression], limit: int, after: str
) -> None:
    """A pool that a search leaves out earns nothing; one that it wrongly tells of is placed on in vain."""
    world = World()
    for step in steps:
        world.step(*step)

    for term in asked:
        keeps = planned(written(term), fields())
        for behind in ("", after):
            found = world.catalogue.search(keeps, after=behind, limit=limit)
            assert found == searched(term, world.rows(), after=behind, limit=limit), written(term)


def test_many_pools_at_once_are_in_the_order_of_their_names() -> None:
    """A page that begins at the wrong place tells of a pool twice or never."""
    world = World()
    world.step("site", "sites/s0", {})
    names = [f"sites/s0/pools/q{number:03}" for number in range(300)]
    world.pools.tell(POOLS, *[(name, pool_pb2.Pool(name=name)) for name in reversed(names)])
    world.pools.tell(POOLS, *[(name, None) for name in names[::3]])

    left = [name for name in names if name not in names[::3]]
    assert world.catalogue.search(planned("", fields()), limit=1000) == left
    assert world.catalogue.search(planned("", fields()), after=left[9], limit=5) == left[10:15]


def test_room_of_values_that_are_gone_is_used_again() -> None:
    """Devices that are described anew every hour must not fill the memory of the registry in a year."""
    table = Table({"words": Field(FieldKind.TEXT, repeated=True), "numbers": Field(FieldKind.NUMBER, repeated=True)})
    for turn in range(60):
        for row in range(200):
            count = (turn + row) % 5
            table.put(row, ([f"w{turn}-{row}"] * count, [turn * 1000 + row] * count))

    for row in range(200):
        there = (59 + row) % 5 > 0
        for path, condition in (("words", Equal(f"w59-{row}")), ("numbers", Between(59_000 + row, 59_000 + row))):
            expected = [row] if there else []
            assert table.matching(path, condition, 200).nonzero()[0].tolist() == expected
    assert table.matching("words", Present(), 200).sum() == 160
    assert not table.matching("words", Equal("w58-3"), 200).any()
    columns = cast(Any, table)._columns
    assert len(columns["numbers"]._values) < 200 * 4 + 2 * WASTE_MIN
    assert len(columns["words"]._words.texts) < 500
