"""The reference of job files and their JSON schema, from the contract's own words and the short forms of `suan`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_cli.jobfields import CHOICES, SET_BY_SERVICE, UNITS_BY_SUFFIX, short_fields, suffix_of
from suanmesh_cli.jobforms import OF_VARIANT, SHORT_TEXTS, WITHIN
from suanmesh_kernel.texts import Text

SCHEMA = "libs/cli/suanmesh_cli/job.schema.json"
PAGES = {"en": "docs/reference/job-file.md", "zh": "docs/reference/job-file.zh-CN.md"}
_TITLE = Text("# Job file reference", "# 作业文件参考")
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SCALAR = {"type": ["string", "number", "boolean"]}
_INTRO = Text(
    "A job file is YAML: the fields of the contract, and short forms for what is written often. "
    "[What a job file says](../how-to/jobs.md) shows them at work; `suan job schema` prints the JSON schema for "
    "editors. A field whose name ends in a unit may be written without it (`cpu: 1.5`, `memory: 2Gi`, `budget: 1.50`, "
    "`max_duration: 2h30m`), and a name of a collection without that (`account: demo`).",
    "作业文件是 YAML：契约自身的字段，加上常用内容的简写。用法见[作业文件写什么](../how-to/jobs.zh-CN.md)；"
    "`suan job schema` 输出供编辑器使用的 JSON schema。名称以单位结尾的字段可以不写单位（`cpu: 1.5`、`memory: 2Gi`、"
    "`budget: 1.50`、`max_duration: 2h30m`），集合名也可省略（`account: demo`）。",
)
_HEADS = {"en": ("field", "how it is written", "what it says"), "zh": ("字段", "写法", "含义")}
_SHORT_HEADS = {"en": ("short form", "what it says"), "zh": ("简写", "含义")}
_SHORT_TITLE = Text("## Short forms, at the top of a file", "## 简写（写在文件顶层）")


def pages(root: Path) -> dict[str, str]:
    """The schema and the reference in both languages, by path."""
    comments = _comments((root / "protos/suanmesh/scheduler/v1/job.proto").read_text())
    chinese = _chinese((root / "docs/job_fields.zh-CN.txt").read_text())
    schema = json.dumps(_schema(comments), indent=1, ensure_ascii=False) + "\n"
    return {SCHEMA: schema} | {path: _page(lang, comments if lang == "en" else chinese) for lang, path in PAGES.items()}


def messages() -> dict[str, Descriptor]:
    """The messages of a job file by name, the job first."""
    found: dict[str, Descriptor] = {}

    def visit(message: Descriptor) -> None:
        if message.name in found or message.full_name.startswith("google.") or message.GetOptions().map_entry:
            return
        found[message.name] = message
        for field in fields_of(message):
            if field.message_type is not None:
                visit(field.message_type)

    visit(Job.DESCRIPTOR)
    return found


def fields_of(message: Descriptor) -> list[FieldDescriptor]:
    """The fields that a file may hold."""
    own = message.full_name == Job.DESCRIPTOR.full_name
    return [field for field in message.fields if not (own and field.name in SET_BY_SERVICE)]


def _comments(proto: str) -> dict[str, str]:
    """By `Message` and `Message.field` what stands above it."""
    found: dict[str, str] = {}
    message, comment = "", []
    for line in map(str.strip, proto.splitlines()):
        if line.startswith("//"):
            comment.append(line.removeprefix("//").strip())
            continue
        if begins := re.match(r"message (\w+) {", line):
            message = begins[1]
            found[message] = " ".join(comment)
        elif field := re.match(r"(?:repeated |optional )?(?:map<.*?>|[\w.]+) (\w+) = \d+", line):
            found[f"{message}.{field[1]}"] = " ".join(comment)
        comment = []
    return found


def _chinese(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def _schema(comments: dict[str, str]) -> dict[str, Any]:
    defs = {name: _object(message, comments) for name, message in messages().items()}
    job = defs.pop("Job")
    shared = {name: defs[_holder(within)]["properties"][name] for name, within in WITHIN.items()}
    job["properties"] |= shared | {name: defs["Variant"]["properties"][name] for name in OF_VARIANT}
    job["properties"]["secrets"] = {"type": ["object", "array"]}
    job["properties"]["retry"] = {"anyOf": [{"type": "integer"}, dict(job["properties"]["retry"])]}
    job["properties"]["setup"] = {"type": ["string", "array", "object"]}
    for name, text in SHORT_TEXTS.items():
        job["properties"].setdefault(name, {})["description"] = text.en
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Suanmesh job file",
        **job,
        "$defs": defs,
    }


def _holder(field: str) -> str:
    kind = Job.DESCRIPTOR.fields_by_name[field].message_type
    assert kind is not None
    return kind.name


def _object(message: Descriptor, comments: dict[str, str]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in fields_of(message):
        properties[field.name] = _value(field) | {"description": comments[f"{message.name}.{field.name}"]}
    for short, field in short_fields(message).items():
        properties[short] = properties[field.name] | ({"type": ["number", "string"]} if suffix_of(field) else {})
    if message.name == "Artefact":
        properties["file"] = {"type": "string", "description": "A file whose bytes and execute bit it has."}
    return {
        "type": "object",
        "description": comments[message.name],
        "additionalProperties": False,
        "properties": properties,
    }


def _value(field: FieldDescriptor) -> dict[str, Any]:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return {"type": "object", "additionalProperties": _SCALAR}
    one = _single(field)
    if field.name == "artefacts":
        one = {"anyOf": [{"type": "string"}, one]}
    if field.name == "command":
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": one}]}
    return {"type": "array", "items": one} if field.is_repeated else one


def _single(field: FieldDescriptor) -> dict[str, Any]:
    if field.enum_type is not None:
        return {"enum": [*_choices(field), *(CHOICES if field.name == "on_failure" else ())]}
    if field.message_type is not None:
        if field.message_type.full_name.startswith("google."):
            return {"type": "string"}
        return {"$ref": f"#/$defs/{field.message_type.name}"}
    if field.type == FieldDescriptor.TYPE_BOOL:
        return {"type": "boolean"}
    if field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64):
        return {"type": ["integer", "string"] if suffix_of(field) else "integer"}
    return dict(_SCALAR)


def _choices(field: FieldDescriptor) -> list[str]:
    assert field.enum_type is not None
    names = [value.name for value in field.enum_type.values]
    prefix = names[0].removesuffix("UNSPECIFIED")
    return [name.removeprefix(prefix) for name in names[1:]]


def _page(lang: str, comments: dict[str, str]) -> str:
    made = "<!-- Made by docs/generate.py; edit what it reads, then run `make gen`. -->"
    return "\n\n".join([_TITLE.of(lang), made, *_blocks(lang, comments)]) + "\n"


def _blocks(lang: str, comments: dict[str, str]) -> Iterator[str]:
    yield _INTRO.of(lang)
    yield _SHORT_TITLE.of(lang)
    yield _table(_SHORT_HEADS[lang], [(f"`{name}`", text.of(lang)) for name, text in SHORT_TEXTS.items()])
    for name, message in messages().items():
        yield f"## {name}"
        yield comments[name]
        short = {field.name: short for short, field in short_fields(message).items()}
        rows: list[tuple[str, ...]] = []
        for field in fields_of(message):
            names = f"`{field.name}`" + (f", `{short[field.name]}`" if field.name in short else "")
            rows.append((names, _written(field, lang), comments[f"{name}.{field.name}"]))
        yield _table(_HEADS[lang], rows)


def _written(field: FieldDescriptor, lang: str) -> str:
    """How a value is written, in a word or two."""
    zh = lang == "zh"
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return "名称: 值" if zh else "name: value"
    if field.enum_type is not None:
        one = ", ".join(f"`{each}`" for each in (*_choices(field), *(CHOICES if field.name == "on_failure" else ())))
    elif kind is not None and kind.full_name.startswith("google."):
        one = "`2027-01-31T12:00:00Z`, `6h`"
    elif kind is not None:
        one = f"[{kind.name}](#{kind.name.lower()})"
    elif field.type == FieldDescriptor.TYPE_BOOL:
        one = "`true`, `false`"
    elif suffix := suffix_of(field):
        units = ", ".join(f"`{unit}`" for unit in UNITS_BY_SUFFIX[suffix])
        number = "整数" if zh else "whole number"
        one = f"{number}, {units}" if units else number
    elif field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64):
        one = "整数" if zh else "whole number"
    else:
        one = "文本" if zh else "text"
    if field.is_repeated:
        return f"列表：{one}" if zh else f"list of {one}"
    return one


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
