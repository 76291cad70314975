"""Job files: YAML under the contract's own field names, with sizes and durations as people write them.

Every mistake is named with file, line and field, before anything is sent.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import yaml

from suanmesh.scheduler.v1.job_pb2 import Job
from suanmesh_cli.jobfields import Filler, text_of
from suanmesh_cli.jobfolder import TooLarge, packed
from suanmesh_cli.jobforms import Forms, Template
from suanmesh_cli.jobsecrets import Source, named, of_file
from suanmesh_cli.jobsetup import NO_NETWORK, SetupReader
from suanmesh_cli.yamlfile import SILENCE_S_MAX, STANDARD_INPUT, YamlFile, content_of, invalid, problem_of
from suanmesh_kernel.clock import Clock, SystemClock
from suanmesh_kernel.texts import Text
from suanmesh_sdk.workdir import unpack

FILE_BYTES_MAX = 64 * 1024
ARTEFACT_BYTES_MAX = 5 * 1024
ARTEFACTS_MAX = 64
SYSTEM_CLOCK = SystemClock()


@dataclass(frozen=True, slots=True)
class JobFile:
    """A job as a file describes it."""

    job: Job
    notes: tuple[Text, ...] = ()
    """What whoever submits it should know."""
    secrets: Mapping[str, Source] = field(default_factory=dict)
    """Where the values of its secrets are; the job has their names."""
    workdir: Path | None = None
    """A folder that is too large to go with the job itself: it is to be brought first, and the job unpacks it."""
    wheels: Path | None = None
    """A folder of wheels that its setup installs from: it is to be brought first."""


def load(path: Path, *, silence_s_max: float = SILENCE_S_MAX) -> Job:
    """The job of `read`."""
    return read(path, silence_s_max=silence_s_max).job


def read(
    path: Path,
    values: Mapping[str, str] | None = None,
    *,
    silence_s_max: float = SILENCE_S_MAX,
    clock: Clock = SYSTEM_CLOCK,
) -> JobFile:
    """The job that the file at `path` describes, `values` at its places; files it names are read relative to it.

    `-` is standard input, and names are relative to where we are. A deadline may be so long after the time of `clock`.
    Raises InvalidArgument (`FIELD_INVALID`) with file, line and field.
    """
    file = YamlFile(path)
    return _Reader(file, values or {}, clock.now()).file(file.content(FILE_BYTES_MAX, silence_s_max))


class _Reader:
    def __init__(self, file: YamlFile, values: Mapping[str, str], now: datetime) -> None:
        self._path = file.path
        self._root, self._wrong = file.root, file.wrong
        self._now = now
        self._template = Template(values)
        self._notes: list[Text] = []
        self._workdir: Path | None = None

    def file(self, content: bytes) -> JobFile:
        text = self._decoded(content)
        root = self._root(self._template.opened(text) if isinstance(text, str) else text)
        self._template.fill(root, self._wrong)
        self._require_used()
        folder, secrets = _pair(root, "workdir"), _pair(root, "secrets")
        if secrets is not None and isinstance(secrets[1], yaml.SequenceNode):
            secrets = None  # as the contract has them: names alone
        setup = _pair(root, "setup")
        job = Job()
        root.value = [pair for pair in root.value if pair not in (folder, secrets, setup)]
        Filler(self._wrong, self._file, self._now).fill(job, Forms(self._wrong).in_full(root))
        wheels = None
        if setup is not None and (made := SetupReader(self._wrong, self._text).read(setup[1])):
            wheels = made.into(job, self._base)
            if wheels is not None and not wheels.is_dir():
                raise self._wrong(setup[0], "setup.wheels", Text(f"{wheels} is no folder", f"{wheels} 不是目录"))
            self._notes.append(NO_NETWORK)
        if folder is not None:
            self._pack(job, folder[1])
        sources = of_file(secrets[1], self._base, self._wrong) if secrets is not None else {}
        named(job, sources)
        self._require_small(job)
        return JobFile(job, tuple(self._notes), sources, self._workdir, wheels)

    def _require_used(self) -> None:
        for key in sorted(self._template.unused):
            unused = Text(
                f"no place {{{{ {key} }}}} for --set {key}=...", f"没有位置 {{{{ {key} }}}} 可供 --set {key}=..."
            )
            raise invalid(str(self._path), unused, field=key)

    def _pack(self, job: Job, node: yaml.Node) -> None:
        """Lay a folder's files beside every variant, but what that has by itself; a large folder is brought first."""
        folder = self._base / Path(text_of(node, "workdir", self._wrong)).expanduser()
        try:
            found = packed(folder, bytes_max=ARTEFACT_BYTES_MAX, files_max=ARTEFACTS_MAX, but=self._path)
        except TooLarge:
            self._workdir = folder
            unpack(job)
            return
        except (OSError, ValueError) as error:
            raise self._wrong(node, "workdir", problem_of(error)) from error
        for variant in job.package.variants:
            own = {artefact.path for artefact in variant.artefacts}
            for each in found.files:
                if each.path not in own:
                    variant.artefacts.add(path=each.path, content=each.content, executable=each.executable)
        if found.left_out:
            names = ", ".join(found.left_out)
            self._notes.append(
                Text(f"workdir: left out, no files of it: {names}", f"workdir：未随带（不是其中的文件）：{names}")
            )

    @property
    def _base(self) -> Path:
        return Path() if self._path == STANDARD_INPUT else self._path.parent

    def _decoded(self, content: bytes) -> str | bytes:
        """As YAML would; what is no UTF-8 is left to it to name."""
        try:
            return content.decode()
        except UnicodeDecodeError:
            return content

    def _require_small(self, job: Job) -> None:
        total = sum(len(artefact.content) for variant in job.package.variants for artefact in variant.artefacts)
        if total > ARTEFACT_BYTES_MAX:
            problem = Text(
                f"package: {total} bytes of artefacts, at most {ARTEFACT_BYTES_MAX}; "
                "larger code travels as an input dataset",
                f"package: 工件共 {total} 字节，上限 {ARTEFACT_BYTES_MAX}；更大的代码请作为输入数据集",
            )
            raise invalid(str(self._path), problem, field="package")

    def _file(self, node: yaml.Node, at: str) -> tuple[bytes, bool]:
        """What a file holds, and whether its owner may execute it."""
        named = self._base / text_of(node, at, self._wrong)
        try:
            return content_of(named, ARTEFACT_BYTES_MAX, SILENCE_S_MAX), bool(named.stat().st_mode & stat.S_IXUSR)
        except (OSError, ValueError) as error:
            problem = problem_of(error)
            raise self._wrong(node, at, Text(f"{named}: {problem.en}", f"{named}: {problem.zh}")) from error

    def _text(self, node: yaml.Node, at: str) -> str:
        """What a file of text holds."""
        named = self._base / text_of(node, at, self._wrong)
        try:
            return content_of(named, FILE_BYTES_MAX, SILENCE_S_MAX).decode()
        except (OSError, ValueError) as error:
            problem = problem_of(error)
            raise self._wrong(node, at, Text(f"{named}: {problem.en}", f"{named}: {problem.zh}")) from error


def _pair(root: yaml.MappingNode, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    """What stands at the top under a name."""
    return next((pair for pair in root.value if getattr(pair[0], "value", "") == name), None)
