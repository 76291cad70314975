"""The `setup` of a job file: lines, packages and wheels, as people write them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_cli.jobfields import text_of
from suanmesh_cli.jobforms import Wrong
from suanmesh_kernel.requirements import REQUIREMENT_PATTERN
from suanmesh_kernel.texts import Text
from suanmesh_sdk.workdir import WHEELS

_INSTALL = re.compile(r"(?:python3? +-m +)?pip3? +install +(?P<words>.+)")
_KEYS = ("python", "run", "wheels")
_FILE_OPTIONS = ("-r", "--requirement")
NO_NETWORK = Text(
    "setup: it runs in a sandbox without network; packages that `python` names come from the site's mirror, where its "
    "owner has set one, or from `wheels` that travel with the job",
    "setup：它在没有网络的沙箱中运行；`python` 所列的包来自站点镜像（如站点已设置），或随作业携带的 `wheels`",
)


@dataclass(slots=True)
class Setup:
    """What stands there."""

    python: list[str] = field(default_factory=list)
    run: list[str] = field(default_factory=list)
    wheels: str = ""
    """A folder, or `datasets/{dataset}`; empty for none."""

    def __bool__(self) -> bool:
        """Whether anything stands there: a line that a place leaves empty is no setup, which would be charged."""
        return bool(self.python or self.run or self.wheels)

    def into(self, job: Job, base: Path) -> Path | None:
        """Write it into a job; the folder of wheels, relative to `base`, that is still to be brought."""
        job.setup.python.extend(self.python)
        job.setup.run.extend(self.run)
        job.setup.SetInParent()
        if not self.wheels:
            return None
        job.setup.wheels = WHEELS
        if self.wheels.startswith("datasets/"):
            job.inputs.add(dataset=self.wheels, mount=WHEELS)
            return None
        return base / self.wheels


class SetupReader:
    """Reads it, and says what is wrong where it stands."""

    def __init__(self, wrong: Wrong, read_file: Callable[[yaml.Node, str], str]) -> None:
        """`read_file` answers what the file holds whose name a node gives, in a field."""
        self._wrong = wrong
        self._read_file = read_file

    def read(self, node: yaml.Node) -> Setup:
        """Lines, or a mapping of `python`, `run` and `wheels`. Raises InvalidArgument."""
        found = Setup()
        if not isinstance(node, yaml.MappingNode):
            self._lines(found, node, "setup")
            return found
        for key, value in node.value:
            name = str(key.value)
            if name == "python":
                found.python += self._packages(value)
            elif name == "run":
                self._lines(found, value, "setup.run")
            elif name == "wheels":
                found.wheels = text_of(value, "setup.wheels", self._wrong)
            else:
                known = Text(f"is none of {', '.join(_KEYS)}", f"不在 {', '.join(_KEYS)} 之中")
                raise self._wrong(key, f"setup.{name}", known)
        return found

    def _lines(self, found: Setup, node: yaml.Node, at: str) -> None:
        """Lines; those at the begin that only install packages by name are packages, which a mirror may bring."""
        if isinstance(node, yaml.ScalarNode):
            lines = text_of(node, at, self._wrong).splitlines()
        elif isinstance(node, yaml.SequenceNode) and all(isinstance(each, yaml.ScalarNode) for each in node.value):
            lines = [line for each in node.value for line in str(each.value).splitlines()]
        else:
            raise self._wrong(node, at, Text("lines for the shell are expected", "此处应为若干行 shell 命令"))
        for line in filter(None, map(str.strip, lines)):
            packages = None if found.run else self._installed(line, node, at)
            if packages is None:
                found.run.append(line)
            else:
                found.python += packages

    def _installed(self, line: str, node: yaml.Node, at: str) -> list[str] | None:
        """The packages that a line installs by their names and versions; None where it does anything else."""
        install = _INSTALL.fullmatch(line)
        try:
            words = shlex.split(install["words"]) if install else []
        except ValueError:
            return None
        packages: list[str] = []
        while words:
            word = words.pop(0)
            if word in _FILE_OPTIONS and words:
                packages += self._required(yaml.ScalarNode(node.tag, words.pop(0), node.start_mark), at)
            elif REQUIREMENT_PATTERN.fullmatch(word):
                packages.append(word)
            else:
                return None
        return packages or None

    def _packages(self, node: yaml.Node) -> list[str]:
        """A list of packages; or a text: the file of requirements of that name."""
        if isinstance(node, yaml.SequenceNode):
            return [text_of(each, "setup.python", self._wrong) for each in node.value]
        return self._required(node, "setup.python")

    def _required(self, node: yaml.Node, at: str) -> list[str]:
        packages: list[str] = []
        for line in self._read_file(node, at).splitlines():
            wanted = re.sub(r"(^|\s)#.*", "", line).strip()
            if wanted and not REQUIREMENT_PATTERN.fullmatch(wanted):
                problem = Text(
                    f"{wanted[:80]!r} is not a name with versions, such as numpy==2.1",
                    f"{wanted[:80]!r} 不是带版本的名称（如 numpy==2.1）",
                )
                raise self._wrong(node, at, problem)
            packages += [wanted] if wanted else []
        return packages
