"""Every verb that prints something prints it in every form: one whole document of each, for one name and several."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from suanmesh.accounting.v1.account_pb2 import Account, Budget, PartyBudget
from suanmesh.accounting.v1.accounting_service_pb2 import ListPartyBudgetsResponse
from suanmesh.network_orchestrator.v1.network_orchestrator_service_pb2 import DeclareLinksResponse
from suanmesh.registry.v1.party_pb2 import Party
from suanmesh.registry.v1.registry_service_pb2 import JoinToken
from suanmesh.registry.v1.revocation_pb2 import Revocation
from suanmesh.scheduler.v1.decision_pb2 import CandidateExplanation
from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_cli.main import suan
from tests.service.sdk.busy_answers import CANDIDATES, answers
from tests.service.sdk.test_cli_screens import commands

NO_OBJECTS = {
    "login", "site remove", "site drain", "job logs", "data get", "data rm", "link rm", "trust save", "trust remove",
    "ctx add", "ctx rm", "ctx use",
}  # fmt: skip
"""What acts or copies and prints no object."""
OVER_THE_WIRE = {"job submit", "job rerun", "data put", "transfer create", "transfer watch", "trust set", "top"}
"""What needs files, streams or processes beside answers."""
GIVEN = {
    "party create": ["x", "--kind", "consumer", "--currency", "CNY"],
    "user invite": ["acme/x"],
    "user revoke": ["acme/x"],
    "data label": ["x", "a=b"],
    "link declare": ["x", "--from", "a", "--to", "b", "--capacity", "1Gbit/s"],
    "account create": ["x", "--party", "p", "--currency", "CNY"],
    "account credit": ["x", "1"],
    "budget set": ["x", "1"],
    "price set": ["x", "cpu=0.1/core-h"],
    "bill show": ["--account", "x"],
    "job diff": ["x", "y"],
    "trust show": [],
    "trace show": ["x"],
    "party set": ["x", "--default-site", "a"],
    "party publishers": ["x", "--add", "a"],
    "site health": [],
}
"""What a verb is given; others get `x` for each argument that they need."""
Run = Callable[..., Awaitable[Result]]


def leaf(words: str) -> click.Command:
    found: click.Command = suan
    for word in words.split():
        with click.Context(found) as ctx:
            assert isinstance(found, click.Group)
            below = found.get_command(ctx, word)
            assert below is not None
            found = below
    return found


def forms_of(command: click.Command) -> set[str]:
    choices = [each.type for each in command.params if each.name == "output" and isinstance(each.type, click.Choice)]
    return {name for choice in choices for name in choice.choices}


EVERY = [" ".join(path) for path in commands() if forms_of(leaf(" ".join(path))) and path[0] != "dataset"]
PRINTING = [words for words in EVERY if words not in NO_OBJECTS | OVER_THE_WIRE]


@pytest.fixture
async def run(serve: Any, tls: Any, tmp_path: Path) -> Run:
    oracle = await serve()
    book = answers()["ListPriceBooks"].price_books[0]
    site, account = answers()["GetSite"], answers()["GetAccount"]
    bound = PartyBudget(party="parties/p", currency="CNY", budget=Budget(amount_micros=5, month=209912))
    oracle.answers |= answers() | {
        "CreateJoinToken": JoinToken(token="t"),
        "ListPartyBudgets": ListPartyBudgetsResponse(budgets=[bound]),
        "ExplainCandidate": CandidateExplanation(candidate=CANDIDATES[0]),
        "PublishPriceBook": book,
        "RevokeCertificates": Revocation(name="sites/x"),
        "CancelJob": answers()["GetJob"], "CancelTransfer": answers()["GetTransfer"], "SetSiteAdmission": site,
        "SetDatasetLabels": answers()["GetDataset"],
        "DeclareLinks": DeclareLinksResponse(links=[answers()["GetLink"]]),
    }  # fmt: skip
    for each in ("CreateAccount", "CreditAccount", "CloseAccount", "SetBudget"):
        oracle.answers[each] = account
    for each in ("CreateParty", "SetPublishers", "SetPartyState", "SetDefaultSite"):
        oracle.answers[each] = Party(name="parties/x")
    oracle.answers["WatchJob"] = [Job(name="jobs/x", state=Job.STATE_DONE)]
    contexts = tmp_path / "config.toml"
    contexts.write_text(f'[contexts.x]\ngateway = "{oracle.address}"\nnode = "demo"\n')
    environment = {"SUANMESH_CONFIG": str(contexts), "SUANMESH_CONTEXT": "x"}
    environment |= {"SUANMESH_CA": str(tls.ca), "SUANMESH_CERT": str(tls.cert), "SUANMESH_KEY": str(tls.key)}

    async def invoke(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, suan, list(arguments), obj=environment)

    return invoke


def given(words: str, names: int = 1) -> list[str]:
    if words in GIVEN:
        return GIVEN[words]
    needed = [each for each in leaf(words).params if isinstance(each, click.Argument) and each.required]
    return ["x"] * (names if needed and needed[0].nargs == -1 else len(needed))


def table_of(text: str) -> list[list[str]]:
    rows = list(csv.reader(io.StringIO(text), strict=True))
    assert rows, "not even titles"
    assert {len(row) for row in rows} == {len(rows[0])}
    return rows


def unlabelled(rows: list[list[str]]) -> list[list[str]]:
    """Without the word that says what the foot of a bill is: it stands under whichever column has room for it."""
    return [["" if cell == "total" else cell for cell in row] for row in rows]


def leaf_lists(words: str, value: object) -> bool:
    """Whether it is what a verb lists: such a verb has `--limit`, or lists all there is."""
    lists = words == "ledger show" or any(each.name == "limit" for each in leaf(words).params)
    return lists and isinstance(value, list)


def test_what_prints_nothing_is_there() -> None:
    """A verb that is renamed would no longer be looked at."""
    assert sorted((NO_OBJECTS | OVER_THE_WIRE | GIVEN.keys()) - {*EVERY}) == []


@pytest.mark.parametrize("words", PRINTING)
async def test_every_form_is_one_document(run: Run, words: str) -> None:
    """A script that asks for CSV gets a table that only eyes can read, or two documents where its parser takes one."""

    async def shown(*options: str) -> str:
        done = await run(*words.split(), *given(words), "--utc", *options)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code in (0, 1, 6), (options, done.output)
        return done.stdout

    told = json.loads(await shown("-o", "json"))
    listed = (
        told if isinstance(told, list) else next((each for each in told.values() if leaf_lists(words, each)), [told])
    )
    assert yaml.safe_load(await shown("-o", "yaml")) == told
    lines = [json.loads(line) for line in (await shown("-o", "jsonl")).splitlines()]
    assert lines in ([told], listed)
    assert json.loads(await shown("-o", "json", "--query", "@")) == told
    assert all(name and " " not in name for name in (await shown("-o", "name")).splitlines())
    titles, *rows = table_of(await shown("-o", "csv"))
    assert len({*titles}) == len(titles)
    assert all(title == title.lower() and title for title in titles)
    assert bool(rows) == bool(listed)
    if rows and any(each.name == "columns" for each in leaf(words).params):
        picked = [titles[-1], titles[0]]
        wanted = [[row[-1], row[0]] for row in rows]
        got = table_of(await shown("-o", "csv", "--columns", ",".join(picked), "--no-headers"))
        assert unlabelled(got) == unlabelled(wanted)
        assert await shown("-o", "csv", f"--sort=-{titles[0]}")
        lines = (await shown("--columns", titles[0], "--no-headers")).splitlines()
        assert len(lines) >= len(rows) - 1


SEVERAL = [words for words in PRINTING if words not in GIVEN and len(given(words, 2)) == 2]
SEVERAL = [words for words in SEVERAL if not words.startswith("path ")]


@pytest.mark.parametrize("words", SEVERAL)
async def test_several_names_are_one_document(run: Run, words: str) -> None:
    """`json.loads` fails on the second of two documents, and a spreadsheet takes the second head for data."""

    async def shown(names: int, *options: str) -> str:
        done = await run(*words.split(), *given(words, names), "--utc", *options)
        assert done.exit_code in (0, 1, 6), done.output
        return done.stdout

    one, both = [json.loads(await shown(names, "-o", "json")) for names in (1, 2)]
    if words != "job tasks":
        assert both == [one, one]
    else:
        assert len(both["tasks"]) == 2 * len(one["tasks"])
        assert {each["job"] for each in both["tasks"]} == {"jobs/x"}
    assert yaml.safe_load(await shown(2, "-o", "yaml")) == both
    lines = [json.loads(line) for line in (await shown(2, "-o", "jsonl")).splitlines()]
    assert lines == (both["tasks"] if words == "job tasks" else both)
    (titles, *once), (titles_of_both, *twice) = [table_of(await shown(names, "-o", "csv")) for names in (1, 2)]
    assert titles_of_both == titles or words == "job tasks"
    assert len(twice) == 2 * len(once)
    assert json.loads(await shown(2, "-o", "json", "--query", "length(@)")) == len(both)


async def test_what_others_write_is_read_back_whole_and_starts_no_formula(serve: Any, tls: Any) -> None:
    """A label with a comma shifts the amounts behind it; one that begins with `=` runs where finance opens the file."""
    oracle = await serve()
    names = ['a,b "c"', "line\nbreak", "007", "=cmd|' /C calc'!A0", "+1+1", "-1.5", "-2+3", "@SUM(A1)", "＝1", "-"]
    oracle.answers["ListParties"] = answers()["ListParties"].__class__(
        parties=[Party(name=f"parties/p{number}", display_name=name) for number, name in enumerate(names)]
    )
    environment = {"SUANMESH_GATEWAY": oracle.address, "SUANMESH_NODE": "demo", "SUANMESH_CONFIG": "/dev/null"}
    environment |= {"SUANMESH_CA": str(tls.ca), "SUANMESH_CERT": str(tls.cert), "SUANMESH_KEY": str(tls.key)}
    done = await asyncio.to_thread(CliRunner().invoke, suan, ["party", "list", "-o", "csv"], obj=environment)
    titles, *rows = table_of(done.stdout)
    told = [row[titles.index("name")] for row in rows]
    kept, inert = [*names[:3], "-1.5"], [f"'{name}" for name in names if name not in [*names[:3], "-1.5"]]
    assert [name for name in told if not name.startswith("'")] == kept
    assert [name for name in told if name.startswith("'")] == inert


async def test_amounts_are_plain_decimals(serve: Any, tls: Any) -> None:
    """`1E+6`, `1,000` and an amount with its currency are text to whoever adds them up."""
    oracle = await serve()
    amounts = [-(2**63), -1, 0, 1, 10**6, 123_456_789_012_345_678, 2**63 - 1]
    oracle.answers["ListAccounts"] = answers()["ListAccounts"].__class__(
        accounts=[Account(name="accounts/a", currency="CNY", balance_micros=micros) for micros in amounts]
    )
    environment = {"SUANMESH_GATEWAY": oracle.address, "SUANMESH_NODE": "demo", "SUANMESH_CONFIG": "/dev/null"}
    environment |= {"SUANMESH_CA": str(tls.ca), "SUANMESH_CERT": str(tls.cert), "SUANMESH_KEY": str(tls.key)}
    done = await asyncio.to_thread(CliRunner().invoke, suan, ["account", "list", "-o", "csv"], obj=environment)
    titles, *rows = table_of(done.stdout)
    told = [row[titles.index("balance")] for row in rows]
    assert told == [
        "-9223372036854.775808", "-0.000001", "0.000000", "0.000001", "1.000000", "123456789012.345678",
        "9223372036854.775807",
    ]  # fmt: skip
