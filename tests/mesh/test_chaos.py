"""A very short run under faults with all its books; `make test-chaos` does it at length."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chaos.__main__ import run

SEED = 5
MINUTES = 0.3


@pytest.mark.mesh
async def test_the_books_of_a_short_run_are_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody's job, money or data may be lost because several processes are hurt at once."""
    status = await run(SEED, MINUTES, tmp_path)

    summary = json.loads((tmp_path / f"{SEED}.json").read_text())
    assert (status, {name: found for name, found in summary["violations"].items() if found}) == (0, {})
    assert sum(summary["jobs"]["by_state"].values()) > 0
    assert sum(summary["faults"].values()) > 0
    assert "jobs           right" in capsys.readouterr().out
