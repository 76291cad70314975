"""What `suan` lists, in every form of output: the same things in the same order."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from tests.service.sdk.busy_answers import answers
from tests.service.sdk.test_cli_screens import commands

LISTS = sorted(" ".join(path) for path in commands() if path[-1] == "list" and path[0] not in ("ctx", "dataset"))


@pytest.mark.parametrize("words", LISTS)
async def test_every_column_sorts_every_form_alike(oracle: Any, run: Any, words: str) -> None:
    """A script that was written after looking at the table would else take the first for the largest."""
    oracle.answers |= answers()

    async def shown(form: str, sort: str) -> str:
        arguments = [*words.split(), "-o", form, "--utc", *([f"--sort={sort}"] if sort else [])]
        done = await run(*arguments)
        assert done.exit_code == 0, (arguments, done.output)
        return done.stdout

    async def as_listed(form: str, sort: str) -> list[Any]:
        text = await shown(form, sort)
        if form == "jsonl":
            return [json.loads(line) for line in text.splitlines()]
        (found,) = (each for each in json.loads(text).values() if isinstance(each, list))
        return found

    titles = next(csv.reader(io.StringIO(await shown("csv", ""))))
    order = await as_listed("json", "")
    rows = (await shown("csv", "")).splitlines()[1:]
    for title in titles:
        for sort in (title, f"-{title}"):
            listed = await as_listed("json", sort)
            assert listed == await as_listed("jsonl", sort)
            if len({*rows}) == len(rows) == len(order):
                by_row = [order[rows.index(row)] for row in (await shown("csv", sort)).splitlines()[1:]]
                assert by_row == listed
