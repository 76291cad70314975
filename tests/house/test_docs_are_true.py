"""What the documentation says can be done and found: commands, links, tables, help."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import click
import pytest

import suanmesh_client
from suanmesh_cli.explaining import OBSTACLE, catalogue, entries
from suanmesh_cli.main import suan
from suanmesh_cli.texts import OWN
from suanmesh_client import datasets as client_datasets
from suanmesh_client import jobs as client_jobs
from suanmesh_client import money as client_money
from suanmesh_client import sites as client_sites
from suanmesh_client import sync
from suanmesh_sdk.advice import STATE_REASONS
from suanmesh_sdk.obstacles import OBSTACLES
from suanmesh_sdk.reasons import CHINESE, help_url

if TYPE_CHECKING:
    from conftest import Repository, Source

VERBS_MAX = 32
RECIPE_LINES_MAX = 5
IN_BOTH_LANGUAGES = {"reference/glossary"}
"""Pages without a twin: words of both, and names with English lines."""
READMES = ("README.md", "README.zh-CN.md")
FENCED = re.compile(r"^```(?:sh|console|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def test_every_verb_says_what_it_is_for(repository: Repository) -> None:
    """Whoever opens the project runs `make help`; a verb without a line is not found, too many are not read."""
    makefile = repository.text("Makefile")
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))

    assert targets == _verbs(repository)
    assert len(targets) <= VERBS_MAX


def test_recipes_are_no_programs(repository: Repository) -> None:
    """A program in a Makefile is neither checked nor tested."""
    blocks = re.findall(r"^([a-z][a-z0-9-]*):.*\n((?:\t.*\n)*)", repository.text("Makefile"), re.MULTILINE)

    assert [verb for verb, recipe in blocks if recipe.count("\n") > RECIPE_LINES_MAX] == []


@pytest.mark.parametrize("path", READMES)
def test_readme_commands_exist(repository: Repository, path: str) -> None:
    """A newcomer's first command must not be an error."""
    commands = list(_commands(repository.text(path)))

    assert commands
    for command in commands:
        _check(command, _verbs(repository))


def test_both_readmes_show_the_same_commands(repository: Repository) -> None:
    """A reader of Chinese must not be left behind when a command changes."""
    english, chinese = (list(_commands(repository.text(path))) for path in READMES)

    assert english == chinese


def test_commands_in_the_docs_exist(repository: Repository) -> None:
    """Somebody following a page must not end at a command that is gone."""
    for page in repository.under("docs/", "libs/", "services/", "deploy/", ending=".md"):
        for command in _commands(page.text):
            _check(command, _verbs(repository))


def test_links_lead_somewhere(repository: Repository) -> None:
    """A page that points nowhere was moved without its readers."""
    broken = [
        f"{page.path}: {target}"
        for page in repository.under("", ending=".md")
        for target in LINK.findall(page.text)
        if not target.startswith(("http:", "https:")) and not _leads(repository, page, target)
    ]

    assert broken == []


@pytest.mark.parametrize("lang", ["", ".zh-CN"])
def test_every_page_is_led_to_from_the_index(repository: Repository, lang: str) -> None:
    """A page that no index names is found by nobody, and one without its twin by half of the readers."""
    index = repository.text(f"docs/README{lang}.md")
    named = {target.partition("#")[0] for target in LINK.findall(index)}
    folders = ("docs/tutorials/", "docs/how-to/", "docs/reference/", "docs/explanation/")
    pages = {page.path.removeprefix("docs/") for page in repository.under(*folders, ending=".md")}
    wanted = {
        page.removesuffix(".md").removesuffix(".zh-CN")
        for page in pages
        if "/reasons/" not in page and "/alerts/" not in page
    }

    assert sorted(f"{page}{lang}.md" for page in wanted - IN_BOTH_LANGUAGES if f"{page}{lang}.md" not in named) == []
    assert {f"{page}.md" for page in IN_BOTH_LANGUAGES} <= named


def test_every_code_has_a_page_with_cause_and_remedy(repository: Repository) -> None:
    """Whoever is told no reads there what brought it about and what to do, in their language."""
    known = catalogue()
    given = {*OWN, *STATE_REASONS, *OBSTACLES, *(reason for texts in CHINESE.values() for reason in texts)}

    assert set(known) == given
    for code, meanings in known.items():
        for lang in ("en", "zh"):
            page = repository.text(help_url(code, lang))
            for entry in entries(code, meanings):
                parts = dict(entry.parts)
                assert parts.keys() >= ({"remedy"} if entry.title is OBSTACLE else {"by", "cause", "remedy"}), code
                assert all(_is_in(lang, text.of(lang)) for text in (entry.meaning, parts["remedy"])), code
                assert {entry.meaning.of(lang), *(text.of(lang) for text in parts.values())} <= set(_said(page)), code


def test_no_page_tells_of_a_code_that_is_gone(repository: Repository) -> None:
    """A page that nothing leads to is found by a search and believed."""
    pages = {page.path for page in repository.under("docs/reference/reasons/", ending=".md")}
    made = {help_url(code, lang) for code in catalogue() for lang in ("en", "zh")}

    assert {page for page in pages if not page.endswith(("README.md", "README.zh-CN.md"))} == made


def test_commands_that_help_exist(repository: Repository) -> None:
    """A remedy that names a command of last year sends its reader away with a second error."""
    for entry in (entry for code, known in catalogue().items() for entry in entries(code, known)):
        for key, text in entry.parts:
            for said in re.findall(r"`(suan [a-z -]+)[^`]*`", text.en + text.zh):
                words = [word for word in said.split() if word.islower() and not word.startswith("-")]
                at: click.Command = suan
                for word in words[1:]:
                    if isinstance(at, click.Group):
                        found = at.get_command(click.Context(at), word)
                        assert found is not None, f"{key}: {said}"
                        at = found


def test_generated_pages_are_what_is_generated(repository: Repository) -> None:
    """The tables of reasons and names would tell of another version."""
    for path, text in _generator(repository.root).pages().items():
        assert repository.text(path) == text, f"{path}: run `make gen`"


@pytest.mark.parametrize("name", ["command_reference", "sdk_reference", "telemetry_reference"])
def test_every_command_and_method_is_told_of_in_chinese(repository: Repository, name: str) -> None:
    """A reader of Chinese must not learn from an English sentence what is going to be deleted."""
    reference = getattr(_generator(repository.root), name)
    chinese = reference.read_texts(repository.text(reference.CHINESE_TEXTS))

    english = set(reference.english_texts())
    assert sorted(english - set(chinese)) == [], f"say it in Chinese in {reference.CHINESE_TEXTS}"
    assert sorted(set(chinese) - english) == [], f"nothing says it any more: {reference.CHINESE_TEXTS}"
    assert [text for text in chinese.values() if not _is_in("zh", text) and re.search("[a-z]{4}", text)] == []


def test_both_clients_have_the_same_words() -> None:
    """A script that grows into a service would be written anew, and the reference tells of one of the two."""
    for module, names in (
        (client_jobs, ("Jobs", "JobHandle")),
        (client_datasets, ("Datasets",)),
        (client_money, ("Money",)),
        (client_sites, ("Sites",)),
    ):
        for name in names:
            one, other = (_methods_of(getattr(each, name)) for each in (module, sync))
            assert one.items() <= other.items(), name
    assert {*suanmesh_client.__all__} <= {*sync.__all__}


def test_every_obstacle_is_explained(repository: Repository) -> None:
    """Somebody whose job waits finds an obstacle's code without a way out."""
    text = repository.text("protos/suanmesh/scheduler/v1/reason.proto")
    codes = set(re.findall(r"  OBSTACLE_CODE_(\w+) = [1-9]", text))

    assert set(OBSTACLES) == codes


def test_decisions_stay_short(repository: Repository) -> None:
    """A decision nobody reads to its end is taken again."""
    decisions = repository.under("docs/decisions/", ending=".md")

    assert decisions
    assert [d.path for d in decisions if d.text.count("\n") > 40 and not d.path.endswith("README.md")] == []


def _methods_of(kind: type) -> dict[str, list[str]]:
    """Public methods and properties of a class with the names of their parameters."""
    members = {name: getattr(kind, name) for name in vars(kind) if not name.startswith("_")}
    return {name: list(inspect.signature(each).parameters) if callable(each) else [] for name, each in members.items()}


def _is_in(lang: str, text: str) -> bool:
    """Whether a text is there, and in that language."""
    return bool(text) and bool(re.search("[\u4e00-\u9fff]", text)) == (lang == "zh")


def _said(page: str) -> Iterator[str]:
    """The paragraphs of a page, and what its lists say behind their labels."""
    for line in page.splitlines():
        yield re.sub(r"^- \*\*.*?\*\*(: |：)", "", line)


def _verbs(repository: Repository) -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", repository.text("Makefile"), re.MULTILINE))


def _commands(text: str) -> Iterator[str]:
    """Lines of fenced shell blocks that call make or suan; other lines are what they print."""
    for block in FENCED.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.removeprefix("$ ").split("  #")[0].strip()
            if re.match(r"(\w+=\S+ )*(make|suan|\.venv/bin/suan)\b", command):
                yield command


def _check(command: str, verbs: set[str]) -> None:
    words = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    if words[0] == "make":
        unknown = set(words[1:]) - verbs
        assert not unknown, command
        return
    _parse(suan, words[1:], command)


def _parse(group: click.Command, words: list[str], command: str) -> None:
    """Walk down to the command and let click read its options; nothing is run."""
    at: click.Command = group
    while isinstance(at, click.Group) and words and not words[0].startswith("-"):
        found = at.get_command(click.Context(at), words[0])
        assert found is not None, f"{command}: no {words[0]!r}"
        at, words = found, words[1:]
    try:
        at.make_context("suan", list(words), resilient_parsing=True)
    except click.UsageError as problem:
        pytest.fail(f"{command}: {problem.message}")


def _leads(repository: Repository, page: Source, target: str) -> bool:
    path, _, anchor = target.partition("#")
    place = (repository.root / page.path).parent / path if path else repository.root / page.path
    if not place.exists():
        return False
    return not anchor or anchor in _anchors(place.read_text())


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def _generator(root: Path) -> ModuleType:
    """docs/generate.py as a module."""
    if "generate" not in sys.modules:
        spec = importlib.util.spec_from_file_location("generate", root / "docs" / "generate.py")
        assert spec is not None
        assert spec.loader is not None
        sys.path.append(str(root / "docs"))  # for what it imports beside it
        sys.modules["generate"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["generate"]
