"""The short forms of a job file, and the fields of the contract that they stand for.

Everything happens on the nodes of the YAML, which know their lines: whatever is wrong is named where it was written.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from suanmesh_kernel.refusals import InvalidArgument
from suanmesh_kernel.texts import Text
from suanmesh_sdk.commands import SHELL, words_of
from suanmesh_sdk.parameters import parameter_of

Wrong = Callable[[Any, str, Text], InvalidArgument]
"""The refusal of what stands at a node, in a field."""
Pair = tuple[yaml.Node, yaml.Node]

WITHIN: Mapping[str, str] = {
    **dict.fromkeys(("cpu", "memory", "scratch", "devices"), "ask"),
    **dict.fromkeys(("count", "gang", "on_failure", "retry", "result_folder"), "task"),
    **dict.fromkeys(("budget", "deadline", "allow_sites", "deny_sites", "residency"), "constraints"),
}
"""What may stand at the top, and the field of the job that it is a part of."""
OF_VARIANT = ("architecture", "runtime", "command", "files")
"""What may stand at the top of the one variant of a package."""
OTHERS = ("args", "array", "env")
SHORT_TEXTS: Mapping[str, Text] = {
    "name": Text("Last part of the job's name, as with `--id`.", "作业名称的最后一段，同 `--id`。"),
    "command": Text(
        "What each task runs: a list of words, run as they are, or a line. A line that asks for a shell, by a pipe, "
        "`>`, `&&`, `$NAME`, a pattern or several commands, is run by `/bin/sh -e`: the first that fails ends it.",
        "每个任务运行的命令：按原样运行的单词列表，或一行文本。需要 shell 的一行（管道、`>`、`&&`、`$NAME`、通配符或"
        "多条命令）由 `/bin/sh -e` 运行：第一条失败的命令即结束。",
    ),
    "args": Text("Words behind the command.", "接在命令之后的参数。"),
    "setup": Text(
        "What is made ready once at the site, for all tasks: lines for /bin/sh, such as `pip install numpy==2.1`, or "
        "`{python: [numpy==2.1], wheels: wheels/, run: [...]}`; `python` may name a file of requirements, `wheels` a "
        "folder that travels with the job or a dataset. Its sandbox has no network: packages come from there, or from "
        "the mirror of the site.",
        "在站点为所有任务一次备好的内容：/bin/sh 的若干行，如 `pip install numpy==2.1`，或 "
        "`{python: [numpy==2.1], wheels: wheels/, run: [...]}`；`python` 可为需求文件，`wheels` 为随作业携带的目录"
        "或数据集。其沙箱没有网络：包来自其中，或来自站点的镜像。",
    ),
    "files": Text(
        "Files beside the command: paths, or `path` with `file` or `content`; they keep their execute bit.",
        "放在命令旁的文件：路径，或 `path` 加 `file` 或 `content`；保留可执行位。",
    ),
    "workdir": Text(
        "A folder whose files all go with the job, but what `.suanignore` in it leaves out (gitignore's patterns); "
        "each task finds a copy in its working folder. More than 5 KiB travel by content, as a dataset of their own: "
        "what has not changed is not sent again.",
        "整个目录随作业携带，其中的 `.suanignore`（gitignore 语法）所列除外；每个任务的工作目录中有一份副本。"
        "超过 5 KiB 时按内容传输，成为单独的数据集：未改动的内容不再发送。",
    ),
    "runtime": Text("Interpreter the site must have.", "站点须具备的解释器。"),
    "architecture": Text("Instruction set; empty for any.", "指令集；空为任意。"),
    "env": Text("Variables each task finds; no place for secrets.", "每个任务可见的环境变量；不要放入机密。"),
    "secrets": Text(
        "Secrets by name, from a variable or a file of whoever submits: `{TOKEN: {env: HF_TOKEN}, "
        "key: {file: ~/.key}}`. Each task finds a file in `$SUANMESH_SECRETS`; what comes from a variable is one "
        "again, of the secret's name or what `variable` says.",
        "机密，按名称，取自提交者的环境变量或文件：`{TOKEN: {env: HF_TOKEN}, key: {file: ~/.key}}`。"
        "每个任务在 `$SUANMESH_SECRETS` 中得到一个文件；取自变量的同时也是变量，名为机密之名或 `variable` 所指。",
    ),
    "cpu": Text("Cores of one task, such as `1.5` or `500m`.", "每个任务的核数，如 `1.5` 或 `500m`。"),
    "memory": Text("Memory of one task, such as `2Gi`.", "每个任务的内存，如 `2Gi`。"),
    "scratch": Text("Scratch disk of one task.", "每个任务的临时盘。"),
    "devices": Text("Accelerators of one task.", "每个任务的加速卡。"),
    "array": Text(
        "A sweep: names with lists or ranges of values (`lr: [0.1, 0.01]`, `seed: 1..10`, `step: 0..100..25`). Every "
        "combination is a task, which finds its values as `SUANMESH_PARAM_LR` and so on; the last name varies fastest.",
        "参数扫描：名称与取值列表或范围（`lr: [0.1, 0.01]`、`seed: 1..10`、`step: 0..100..25`）。每种组合是一个任务，"
        "在环境变量 `SUANMESH_PARAM_LR` 等中得到自己的取值；最后一个名称变化最快。",
    ),
    "count": Text("How many equal tasks.", "相同任务的个数。"),
    "gang": Text("Whether all tasks start together or none.", "是否要么全部一起开始，要么都不开始。"),
    "on_failure": Text(
        "`stop` or `continue` the other tasks when one fails; what ended well is delivered either way.",
        "某个任务失败时，其余任务 `stop` 或 `continue`；成功任务的结果都会送达。",
    ),
    "retry": Text(
        "When a task that fails is run again by itself: how often, such as `3`, or "
        "`{times: 3, backoff: 10s, exit_statuses: [75]}`.",
        "失败的任务何时单独重跑：次数，如 `3`，或 `{times: 3, backoff: 10s, exit_statuses: [75]}`。",
    ),
    "result_folder": Text(
        "Name of each task's folder in the dataset of an output, such as `'lr={lr},seed={seed}'` or `'{job}-{task}'`; "
        "`task-{task}` without. Quote it: YAML takes a brace for a mapping.",
        "每个任务在输出数据集中的目录名，如 `'lr={lr},seed={seed}'` 或 `'{job}-{task}'`；不写则为 `task-{task}`。"
        "请加引号：YAML 把花括号当作映射。",
    ),
    "budget": Text("Most it may cost, in the account's currency, such as `1.50`.", "费用上限，账户币种，如 `1.50`。"),
    "deadline": Text(
        "Latest end: a time with its zone, such as `2027-01-31T18:00+08:00`, or how long after it is submitted, "
        "such as `6h`.",
        "最迟结束时间：带时区的时间，如 `2027-01-31T18:00+08:00`，或提交后多久，如 `6h`。",
    ),
    "allow_sites": Text("Only these sites.", "只用这些站点。"),
    "deny_sites": Text("Not these sites.", "不用这些站点。"),
    "residency": Text("Only sites within these jurisdictions.", "只用这些辖区内的站点。"),
}
"""What may stand at the top of a file beside the contract's own fields."""
SHORT = frozenset((*WITHIN, *OF_VARIANT, *OTHERS, "setup", "workdir"))
TASKS_MAX = 10_000
_RANGE = re.compile(r"(-?\d{1,15}) *\.\. *(-?\d{1,15})(?: *\.\. *(-?\d{1,15}))?", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
NULL = "tag:yaml.org,2002:null"
NO_VALUE = Text("has no value", "没有值")
_HOLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:\|([^{}]*))?\}\}")
_BEGIN, _END = "\ue000", "\ue001"
"""Around the number of a hole while the text is read as YAML: a value can give no structure."""
_TAG = "tag:yaml.org,2002:"
_TAGS = yaml.SafeLoader("")


class Template:
    """The places `{{ key }}` and `{{ key | otherwise }}` of a text, and what is to stand there."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.unused = set(values)
        self._values = values
        self._holes: list[tuple[str, str | None]] = []

    def opened(self, text: str) -> str:
        """The text with each place as a word that means nothing to YAML."""

        def mark(found: re.Match[str]) -> str:
            otherwise = found[2].strip() if found[2] is not None else None
            self._holes.append((found[1], otherwise))
            return f"{_BEGIN}{len(self._holes) - 1}{_END}"

        return _HOLE.sub(mark, text)

    def fill(self, node: yaml.Node, wrong: Wrong) -> None:
        """Give each place of what stands at and below `node` its value. Raises InvalidArgument where there is none."""
        if isinstance(node, yaml.ScalarNode):
            if _BEGIN in node.value:
                plain = node.style is None
                node.value = re.sub(f"{_BEGIN}(\\d+){_END}", lambda hole: self._value(hole, node, wrong), node.value)
                node.tag = _TAGS.resolve(yaml.ScalarNode, node.value, (plain, not plain))  # type: ignore[no-untyped-call]
        elif isinstance(node, yaml.MappingNode):
            for pair in node.value:
                for each in pair:
                    self.fill(each, wrong)
        elif isinstance(node, yaml.SequenceNode):
            for each in node.value:
                self.fill(each, wrong)

    def _value(self, hole: re.Match[str], node: yaml.Node, wrong: Wrong) -> str:
        if int(hole[1]) >= len(self._holes):
            return hole[0]
        key, otherwise = self._holes[int(hole[1])]
        self.unused.discard(key)
        value = self._values.get(key, otherwise)
        if value is None:
            problem = Text(f"has no value: give --set {key}=VALUE", f"没有值：请给出 --set {key}=值")
            raise wrong(node, f"{{{{ {key} }}}}", problem)
        return value


class Forms:
    """Writes a job's mapping in the contract's own fields."""

    def __init__(self, wrong: Wrong) -> None:
        self._wrong = wrong

    def in_full(self, root: yaml.MappingNode) -> yaml.MappingNode:
        """The same job without short forms, but for the units of numbers. Raises InvalidArgument."""
        pairs: list[Pair] = []
        inner: dict[str, list[Pair]] = {"ask": [], "task": [], "constraints": [], "variant": []}
        others: dict[str, Pair] = {}
        for key, value in root.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name in others:
                raise self._wrong(key, name, Text("given twice", "重复出现"))
            if name == "retry" and isinstance(value, yaml.ScalarNode) and value.tag != NULL:
                inner["task"].append((key, _mapping(value, [(_word("times", value), value)])))
            elif name in WITHIN:
                inner[WITHIN[name]].append((key, value))
            elif name in OF_VARIANT:
                inner["variant"].append((key, value))
            elif name in OTHERS:
                others[name] = (key, value)
            else:
                pairs.append((key, value))
        if "env" in others:
            pairs.append((_word("environment", others["env"][0]), others["env"][1]))
        if "array" in others:
            inner["task"] += self._array(*others["array"])
        inner["variant"] = self._commanded(inner["variant"], others)
        self._join_variant(pairs, inner.pop("variant"))
        for name, more in inner.items():
            _join(pairs, name, more)
        return _mapping(root, pairs)

    def _join_variant(self, pairs: list[Pair], variant: list[Pair]) -> None:
        if not variant:
            return
        both = next((key for key, _ in pairs if _named(key, "package")), None)
        if both is not None:
            field = str(variant[0][0].value)
            twice = Text("stands in the variants where there is a package", "有 package 时应写在其各 variant 中")
            raise self._wrong(variant[0][0], field, twice)
        key = variant[0][0]
        variants = _sequence(key, [_mapping(key, variant)])
        pairs.append((_word("package", key), _mapping(key, [(_word("variants", key), variants)])))

    def _commanded(self, variant: list[Pair], others: Mapping[str, Pair]) -> list[Pair]:
        """The command with what goes behind it."""
        found = next((pair for pair in variant if _named(pair[0], "command")), None)
        if "args" in others and found is None:
            raise self._wrong(others["args"][0], "args", Text("there is no command", "没有 command"))
        if found is None:
            return variant
        words = self._words(found[1], "command")
        if "args" in others:
            if [word.value for word in words[: len(SHELL)]] == [*SHELL] and isinstance(found[1], yaml.ScalarNode):
                shell = Text("a shell reads the command: write them there", "命令由 shell 读取：请写在命令里")
                raise self._wrong(others["args"][0], "args", shell)
            words += self._words(others["args"][1], "args", whole=False)
        command = (found[0], _sequence(found[1], words))
        return [command if pair is found else pair for pair in variant]

    def _words(self, node: yaml.Node, field: str, *, whole: bool = True) -> list[Any]:
        """A list as it is; one text as a shell would split it, or a `whole` command with the shell that it needs."""
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        if not isinstance(node, yaml.ScalarNode):
            raise self._wrong(
                node, field, Text("a list of words, or a line, is expected", "此处应为单词列表或一行文本")
            )
        if node.tag == NULL:
            raise self._wrong(node, field, NO_VALUE)
        try:
            return [_word(word, node) for word in (words_of if whole else shlex.split)(node.value)]
        except ValueError as error:
            raise self._wrong(node, field, Text(f"cannot be split: {error}", f"无法拆分：{error}")) from error

    def _array(self, key: yaml.Node, node: yaml.Node) -> list[Pair]:
        """Every combination of the values is one task; what was named last varies fastest."""
        if not isinstance(node, yaml.MappingNode) or not node.value:
            wanted = Text(
                "a mapping of names to values is expected, such as {seed: 1..10}; `count` makes equal tasks",
                "此处应为名称到取值的映射，如 {seed: 1..10}；`count` 得到相同的任务",
            )
            raise self._wrong(node, "array", wanted)
        axes = [self._axis(name, value) for name, value in node.value]
        count = 1
        for values in axes:
            count *= len(values)
            if count > TASKS_MAX:
                many = Text(
                    f"makes {count} tasks and more, at most {TASKS_MAX} are one job",
                    f"至少产生 {count} 个任务，一个作业最多 {TASKS_MAX} 个",
                )
                raise self._wrong(key, "array", many)
        columns = zip(*itertools.product(*axes), strict=True)
        parameters = [_parameter(name, list(column)) for (name, _), column in zip(node.value, columns, strict=True)]
        return [(_word("count", key), _number(count, key)), (_word("parameters", key), _sequence(key, parameters))]

    def _axis(self, name: yaml.Node, node: yaml.Node) -> list[str]:
        """The values of what is called `name`, which has to be the end of a variable's name."""
        if not isinstance(name, yaml.ScalarNode) or not _NAME.fullmatch(str(name.value)):
            wrong = Text(
                "a name is letters, digits and _, a letter first, at most 32: tasks find it as SUANMESH_PARAM_<NAME>",
                "名称由字母、数字和 _ 组成，字母开头，至多 32 个：任务以 SUANMESH_PARAM_<名称> 得到它",
            )
            raise self._wrong(name, f"array.{name.value}", wrong)
        return self._values(node, f"array.{name.value}")

    def _values(self, node: yaml.Node, field: str) -> list[str]:
        """A list of values, or a range such as `1..10` or `0..100..25`, both ends among them.

        A list may come as text, such as `[1, 2]`, which is how `--set` gives one.
        """
        values = node.value if isinstance(node, yaml.SequenceNode) else _listed(node)
        if values is not None:
            if not values or not all(isinstance(each, yaml.ScalarNode) for each in values):
                raise self._wrong(node, field, Text("a list of single values is expected", "此处应为单个值的列表"))
            if nothing := next((each for each in values if each.tag == NULL), None):
                raise self._wrong(nothing if values is node.value else node, field, NO_VALUE)
            return [str(each.value) for each in values]
        found = _RANGE.fullmatch(str(node.value).strip()) if isinstance(node, yaml.ScalarNode) else None
        first, last, step = (int(found[1]), int(found[2]), int(found[3] or 1)) if found else (0, 0, 0)
        if not step or (step < 0 and first < last):
            wanted = Text("a list, or a range such as 1..10, is expected", "此处应为列表，或形如 1..10 的范围")
            raise self._wrong(node, field, wanted)
        numbers = range(first, last + 1, step) if first <= last else range(first, last - 1, -abs(step))
        return [str(number) for number in numbers[: TASKS_MAX + 1]]


def _join(pairs: list[Pair], name: str, more: Sequence[Pair]) -> None:
    """Put what stood at the top into the mapping `name`, which may be there."""
    if not more:
        return
    for index, (key, value) in enumerate(pairs):
        if _named(key, name) and isinstance(value, yaml.MappingNode):
            pairs[index] = (key, _mapping(value, [*value.value, *more]))
            return
    pairs.append((_word(name, more[0][0]), _mapping(more[0][0], list(more))))


def _named(key: yaml.Node, name: str) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == name


def _word(text: str, at: yaml.Node) -> yaml.ScalarNode:
    return yaml.ScalarNode(_TAG + "str", text, at.start_mark, at.end_mark)


def _number(value: int, at: yaml.Node) -> yaml.ScalarNode:
    return yaml.ScalarNode(_TAG + "int", str(value), at.start_mark, at.end_mark)


def _parameter(name: yaml.ScalarNode, values: Sequence[str]) -> yaml.MappingNode:
    """The contract's parameter that has these values for the tasks in their order."""
    made = parameter_of(str(name.value).upper(), values)
    pairs: list[Pair] = [(_word("name", name), _word(made.name, name))]
    if made.each:
        pairs.append((_word("each", name), _number(made.each, name)))
    if made.values:
        pairs.append((_word("values", name), _sequence(name, [_word(value, name) for value in made.values])))
    else:
        parts = ((field, getattr(made.range, field)) for field in ("first", "step", "count"))
        span = _mapping(name, [(_word(field, name), _number(value, name)) for field, value in parts])
        pairs.append((_word("range", name), span))
    return _mapping(name, pairs)


def _sequence(at: yaml.Node, nodes: Sequence[yaml.Node]) -> yaml.SequenceNode:
    return yaml.SequenceNode(_TAG + "seq", list(nodes), at.start_mark, at.end_mark)


def _listed(node: yaml.Node) -> list[yaml.Node] | None:
    """The items of a list that is given as text; None where it is none."""
    text = str(node.value).strip() if isinstance(node, yaml.ScalarNode) else ""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        read = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    return read.value if isinstance(read, yaml.SequenceNode) else None


def _mapping(at: yaml.Node, pairs: Sequence[Pair]) -> yaml.MappingNode:
    return yaml.MappingNode(_TAG + "map", list(pairs), at.start_mark, at.end_mark)
