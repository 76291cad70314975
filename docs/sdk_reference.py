"""The reference of the SDK, from the docstrings of what a program imports."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from command_reference import read_texts

from suanmesh_kernel.texts import Text

PAGES = {"en": "docs/reference/sdk.md", "zh": "docs/reference/sdk.zh-CN.md"}
CHINESE_TEXTS = "docs/sdk.zh-CN.txt"
"""Every English paragraph of a docstring, and below it the Chinese one."""
PUBLIC = {
    "suanmesh_client": {
        "client": ("connect", "Client"),
        "jobs": ("Jobs", "JobHandle", "wait_all"),
        "descriptions": ("Job", "Input", "Output", "sweep"),
        "datasets": ("Datasets",),
        "money": ("Money",),
        "sites": ("Sites",),
    },
    "suanmesh_fake": {"mesh": ("FakeMesh", "fake_mesh")},
    "suanmesh_agent.engines.memory": {"": ("Script",)},
    "suanmesh_kernel": {"refusals": ("Refusal",)},
}
"""What is told of, by package and module."""
Said = Callable[[str], str]
"""A text as it is said in the language of a page."""
_TITLE = Text("# SDK reference", "# SDK 参考")
_OTHER = {"en": "[中文](sdk.zh-CN.md)", "zh": "[English](sdk.md)"}
_INTRO = Text(
    "What `suanmesh_client` has, from its docstrings. `suanmesh_client.sync` has the same names with the same "
    "parameters, without `async`: where a method here is a coroutine it returns the value, where it is an async "
    "iterator it is an iterator. [Write against the mesh](../how-to/sdk.md) shows them at work.",
    "`suanmesh_client` 的全部内容，取自其文档字符串。`suanmesh_client.sync` 有相同的名称和参数，但没有 "
    "`async`：此处的协程在那里直接返回值，异步迭代器在那里是普通迭代器。用法见[使用算网编写程序](../how-to/sdk.zh-CN.md)。",
)


def pages(root: Path) -> dict[str, str]:
    """The page in both languages, by path. Raises KeyError for what has no Chinese text."""
    chinese = read_texts((root / CHINESE_TEXTS).read_text())
    said: dict[str, Said] = {"en": str, "zh": chinese.__getitem__}
    return {path: "\n\n".join(_blocks(lang, said[lang])) + "\n" for lang, path in PAGES.items()}


def english_texts() -> Iterator[str]:
    """Every text that has to be there in Chinese."""
    met: dict[str, None] = {}

    def meet(text: str) -> str:
        met[text] = None
        return text

    list(_blocks("en", meet))
    yield from met


def _blocks(lang: str, said: Said) -> Iterator[str]:
    made = "<!-- Made by docs/generate.py; edit what it reads, then run `make gen`. -->"
    yield from (_TITLE.of(lang), made, _OTHER[lang], _INTRO.of(lang))
    for package, modules in PUBLIC.items():
        for name, wanted in modules.items():
            module = importlib.import_module(f"{package}.{name}" if name else package)
            told = _told(module)
            yield f"## {package}{'' if package.endswith('memory') or not name else '.' + name}"
            for each in wanted:
                node = told[each]
                yield from _class(node, said) if isinstance(node, ast.ClassDef) else _function(node, "###", said)


def _told(module: ModuleType) -> dict[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(inspect.getsource(module))
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name: node for node in tree.body if isinstance(node, kinds)}


def _class(node: ast.ClassDef, said: Said) -> Iterator[str]:
    yield f"### {node.name}"
    yield _docstring(node, said)
    fields = list(_fields(node.body, said))
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            if any(word.arg != "self" for word in (*each.args.args, *each.args.kwonlyargs)) and ast.get_docstring(each):
                yield _docstring(each, said)
            fields += _fields(each.body, said)
    if fields:
        yield "\n".join(f"- {field}" for field in fields)
    for each in node.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and not each.name.startswith("_"):
            yield from _function(each, "####", said)


def _fields(body: list[ast.stmt], said: Said) -> Iterator[str]:
    """Attributes with what is said of them below."""
    for node, after in zip(body, [*body[1:], None], strict=True):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        name = target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not name or name.startswith("_"):
            continue
        kind = f": {ast.unparse(node.annotation)}" if isinstance(node, ast.AnnAssign) else ""
        value = f" = {ast.unparse(node.value)}" if isinstance(node, ast.AnnAssign) and node.value else ""
        told = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
        yield f"`{name}{kind}{value}`" + (f" {said(_folded(str(told)))}" if told else "")


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, level: str, said: Said) -> Iterator[str]:
    yield f"{level} {node.name}"
    is_property = any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list)
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    if is_property:
        yield f"`{node.name}{returned.replace(' -> ', ': ')}`"
    else:
        arguments = ast.unparse(node.args).removeprefix("self, ").removeprefix("self")
        begins = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
        yield f"`{begins}{node.name}({arguments}){returned}`"
    yield _docstring(node, said)


def _docstring(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, said: Said) -> str:
    text = ast.get_docstring(node)
    if not text:
        raise ValueError(f"{node.name} says nothing of itself")
    return "\n\n".join(said(_folded(part)) for part in text.split("\n\n"))


def _folded(text: str) -> str:
    return " ".join(text.split())
