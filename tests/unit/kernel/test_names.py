"""Names made of others, and names with the node they belong to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanmesh_kernel.names import ABROAD, ID_PATTERN, NODE_CHARS_MAX, NODE_PATTERN, ResourceName, output_dataset_id
from suanmesh_kernel.refusals import InvalidArgument

job_ids = st.text("a1-", min_size=1, max_size=9).filter(ID_PATTERN.fullmatch)
output_ids = st.text("a1", min_size=1, max_size=4)
attempts = st.integers(0, 11)
outputs = st.tuples(job_ids, output_ids, attempts)
nodes = st.text("ab1-.", min_size=1, max_size=20).filter(NODE_PATTERN.fullmatch)
paths = st.lists(st.text("ab1-_.:", min_size=1, max_size=9), min_size=1, max_size=4).map("/".join)


@given(outputs, outputs)
def test_no_two_outputs_become_one_dataset(one: tuple[str, str, int], other: tuple[str, str, int]) -> None:
    """One job's result would be refused, or taken for another's, because of how people call their jobs."""
    assert (output_dataset_id(*one) == output_dataset_id(*other)) is (one == other)


@given(outputs)
def test_what_an_output_becomes_is_a_name(made: tuple[str, str, int]) -> None:
    """A run that was paid for would fail only when its result is to be published."""
    assert ID_PATTERN.fullmatch(output_dataset_id(*made))


@given(st.just("") | nodes, paths)
def test_a_name_is_read_as_it_is_written(node: str, path: str) -> None:
    """A name that changes on its way through a node means something else at the next."""
    name = ResourceName(node, path)
    assert ResourceName.parse(str(name)) == name


@given(nodes, nodes, paths)
def test_a_node_writes_its_own_names_without_itself(here: str, other: str, path: str) -> None:
    """The same thing under two names would be looked for twice and found once."""
    seen = ResourceName(other, path).seen_from(here)
    assert seen == ResourceName("" if here == other else other, path)
    assert seen.seen_from(here) == seen


@given(st.text(max_size=40).map(ABROAD.__add__) | st.text(max_size=40))
def test_any_text_is_a_name_or_a_refusal(text: str) -> None:
    """What a stranger sends must not break the reader, and what is let in names a node and a thing."""
    try:
        name = ResourceName.parse(text, field="items[0].source")
    except InvalidArgument as refusal:
        told = refusal.reason, refusal.facts["field"]
    else:
        told = str(name), str(all(name.path.split("/")))
    assert told in (("FIELD_INVALID", "items[0].source"), (text, "True"))


@pytest.mark.parametrize(
    "text",
    ["", "//", "///sites/a", "//far", "//far/", "//Far/sites/a", "//far//sites/a", "//-far/sites/a", "//a..b/sites/a",
     f"//{'a' * (NODE_CHARS_MAX + 1)}/sites/a", "/sites/a", "sites/a/", "sites/a\n"],
)  # fmt: skip
def test_what_is_no_name_is_told_apart(text: str) -> None:
    """A slip of the pen must not reach another node, nor another thing here."""
    with pytest.raises(InvalidArgument):
        ResourceName.parse(text)
