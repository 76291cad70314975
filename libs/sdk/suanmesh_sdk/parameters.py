"""What the tasks of a sweep differ in, said by as few values as it takes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from suanmesh.scheduler.v1 import job_pb2

RANGE_MIN = 3
"""Fewer numbers are no shorter as a range."""
_WHOLE = re.compile(r"-?\d{1,15}", re.ASCII)


def each_of(parameter: job_pb2.Parameter) -> int:
    """How many tasks in a row have the same value."""
    return max(1, parameter.each)


def own_values(parameter: job_pb2.Parameter) -> Sequence[str]:
    """Its values, each once in every round of them."""
    if not parameter.HasField("range"):
        return parameter.values
    span = parameter.range
    return [str(span.first + span.step * turn) for turn in range(span.count)]


def value_of(parameter: job_pb2.Parameter, index: int) -> str:
    """The value that the task with that index has. Raises ZeroDivisionError where it has none."""
    turn = index // each_of(parameter)
    if parameter.HasField("range"):
        return str(parameter.range.first + parameter.range.step * (turn % parameter.range.count))
    return parameter.values[turn % len(parameter.values)]


def spelled_out(parameters: Sequence[job_pb2.Parameter], count: int) -> list[job_pb2.Parameter]:
    """The same with one value for each of `count` tasks, as those read who know neither `each` nor `range`."""
    return [
        job_pb2.Parameter(name=each.name, values=[value_of(each, index) for index in range(count)])
        for each in parameters
    ]


def parameter_of(name: str, values: Sequence[str]) -> job_pb2.Parameter:
    """The parameter in which each task, in their order, has that one of `values`; at least one."""
    each = _run(values)
    turns = values[::each]
    own = turns[: _period(turns)]
    made = job_pb2.Parameter(name=name, each=each if each > 1 else 0)
    if (span := _range(own)) is not None:
        made.range.CopyFrom(span)
    else:
        made.values.extend(own)
    return made


def _run(values: Sequence[str]) -> int:
    """How many in a row are the same, all along."""
    first = next((at for at, value in enumerate(values) if value != values[0]), len(values))
    if len(values) % first == 0 and all(values[at] == values[at - at % first] for at in range(len(values))):
        return first
    return 1


def _period(values: Sequence[str]) -> int:
    """After how many they begin anew."""
    whole = range(1, len(values) + 1)
    return next(many for many in whole if len(values) % many == 0 and values[many:] == values[: len(values) - many])


def _range(values: Sequence[str]) -> job_pb2.NumberRange | None:
    """The same as a range, where there are three and more whole numbers at equal distances, written as such are."""
    if len(values) < RANGE_MIN or not all(map(_WHOLE.fullmatch, values)):
        return None
    first, step = int(values[0]), int(values[1]) - int(values[0])
    if any(value != str(first + step * turn) for turn, value in enumerate(values)):
        return None
    return job_pb2.NumberRange(first=first, step=step, count=len(values))
