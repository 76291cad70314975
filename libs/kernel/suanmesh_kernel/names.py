"""Resource names (AIP-122): `sites/{site}/pools/{pool}`, and `//{node}/sites/{site}` where the node is another's."""

from __future__ import annotations

import re
from dataclasses import dataclass

from suanmesh_kernel.refusals import InvalidArgument

ID_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""Lower-case letters, digits and hyphens, 1 to 63, no hyphen at an end."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
NODE_PATTERN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
"""A node is called as a DNS name is: labels like ids, joined by dots."""
NODE_CHARS_MAX = 128
LABEL_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""Of the key of a label: what a filter may name."""
VERSION_PATTERN = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
"""Of a dataset, behind its name and an `@`."""
ABROAD = "//"
"""What the name of a thing of another node begins with."""
_PATH_PATTERN = re.compile(r"[^/\x00-\x20\x7f]+(?:/[^/\x00-\x20\x7f]+)*")


@dataclass(frozen=True, slots=True)
class ResourceName:
    """What a name means wherever it is read: the node it belongs to, and its path there.

    `node` is empty where the name does not say one, hence for the reader's own.
    """

    node: str
    path: str

    @classmethod
    def parse(cls, text: str, *, field: str = "name") -> ResourceName:
        """`//{node}/{path}`, or `{path}` alone; what the path has to look like is for its owner to say.

        Raises InvalidArgument (`FIELD_INVALID`) that names `field`.
        """
        node, slash, path = text.removeprefix(ABROAD).partition("/") if text.startswith(ABROAD) else ("", "/", text)
        named = not text.startswith(ABROAD) or (len(node) <= NODE_CHARS_MAX and NODE_PATTERN.fullmatch(node))
        if not slash or not named or not _PATH_PATTERN.fullmatch(path):
            problem = f"{field}: {text[:200]!r} is not of the form {{path}} or //{{node}}/{{path}}"
            raise InvalidArgument("FIELD_INVALID", problem, field=field)
        return cls(node, path)

    def seen_from(self, node: str) -> ResourceName:
        """The same name as `node` writes it: without a node where it is its own."""
        return ResourceName("", self.path) if self.node == node else self

    def __str__(self) -> str:
        return f"{ABROAD}{self.node}/{self.path}" if self.node else self.path


def checked_id(value: str, *, field: str) -> str:
    """Return `value` if it may be the last part of a name.

    Raises InvalidArgument (`FIELD_INVALID`) that names `field`.
    """
    if not ID_PATTERN.fullmatch(value):
        raise InvalidArgument(
            "FIELD_INVALID",
            f"{field}: {value[:80]!r} is not 1 to 63 lower-case letters, digits or inner hyphens",
            field=field,
        )
    return value


def checked_name(value: str, *collections: str, field: str = "name") -> str:
    """Return `value` if it is `c1/{id}/c2/{id}...` for the given collections.

    Raises InvalidArgument (`FIELD_INVALID`) that names `field`.
    """
    parts = value.split("/")
    fits = len(parts) == 2 * len(collections) and tuple(parts[::2]) == collections
    if not fits or not all(ID_PATTERN.fullmatch(part) for part in parts[1::2]):
        pattern = "/".join(f"{collection}/{{id}}" for collection in collections)
        raise InvalidArgument("FIELD_INVALID", f"{field}: {value[:200]!r} is not of the form {pattern}", field=field)
    return value


def checked_dataset(value: str, *, field: str = "name") -> str:
    """Return `value` if it is `datasets/{id}`, or `datasets/{id}@{version}` for one version.

    Raises InvalidArgument (`FIELD_INVALID`) that names `field`.
    """
    name, at, version = value.partition("@")
    checked_name(name, "datasets", field=field)
    if at and not VERSION_PATTERN.fullmatch(version):
        problem = f"{field}: {value[:200]!r} is not of the form datasets/{{id}}@{{version}}, versions from 1 on"
        raise InvalidArgument("FIELD_INVALID", problem, field=field)
    return value


def of_version(name: str, version: int) -> str:
    """The name of one version of a dataset: `datasets/d`, 2 gives `datasets/d@2`."""
    return f"{name}@{version}"


def versioned(name: str) -> tuple[str, int]:
    """The dataset and the version that a checked name says; 0 where it says none."""
    dataset, _, version = name.partition("@")
    return dataset, int(version or 0)


SETUP_LOG = "setup.log"
"""The file of the setup's log, beside those of the tasks."""


def output_dataset_id(job_id: str, output_id: str, attempt: int = 0) -> str:
    """The id of the dataset that an output of a job becomes; with `attempt`, where an earlier attempt has taken that.

    No two are the same, since the id of an output has no hyphen and that of a job does not end with one.
    """
    return f"{job_id}-{output_id}--{attempt}" if attempt else f"{job_id}-{output_id}"


def log_file(task: int, retry: int | None = None) -> str:
    """The file of a task's log within the dataset of its job's log: of its last run, or the `retry`th before."""
    return f"task-{task}.log" if retry is None else f"task-{task}.{retry}.log"


def last(name: str) -> str:
    """The last part of a name: `parties/p` gives `p`."""
    return name.rsplit("/", 1)[-1]


def parent(name: str) -> str:
    """The name two parts up: `sites/s/pools/q` gives `sites/s`, `sites/s` gives the empty string."""
    return "/".join(name.split("/")[:-2])
