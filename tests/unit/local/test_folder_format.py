"""A node's folder says which version laid it out."""

from __future__ import annotations

from pathlib import Path

import pytest

from suanmesh_local.format import FILE, FORMAT, OtherFormat, claim_format


def test_a_folder_is_numbered_once_and_found_again(tmp_path: Path) -> None:
    """A node that could not start again over its own folder would lose all it keeps."""
    claim_format(tmp_path)
    (tmp_path / "tls").mkdir()
    claim_format(tmp_path)

    assert (tmp_path / FILE).read_text() == f"{FORMAT}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, "tls"]


@pytest.mark.parametrize(
    ("content", "shown"), [(None, "1"), ("1\n", "1"), ("9\n", "9"), ("", "''"), ("two\nlines", r"'two\nlines'")]
)
def test_another_format_is_refused_on_one_line(tmp_path: Path, content: str | None, shown: str) -> None:
    """Whoever upgrades must read what is in the way and what to do, not a denial by etcd."""
    (tmp_path / "tls").mkdir()
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(OtherFormat) as caught:
        claim_format(tmp_path)

    said = str(caught.value)
    assert said.startswith(f"{tmp_path} holds a node of format {shown}, and this version needs format {FORMAT}: ")
    assert "\n" not in said
