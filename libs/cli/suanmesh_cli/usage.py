"""Mistakes in the command line itself, as click finds them and as we do, in English and Chinese."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from suanmesh_cli.errors import ERROR
from suanmesh_cli.terminal import safe
from suanmesh_kernel.extras import lacking
from suanmesh_kernel.texts import Text

TIMEOUT_S_MAX = 30 * 86400.0
UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)")


class Misuse(click.UsageError):
    """A mistake that click does not know of."""

    def __init__(self, text: Text, ctx: click.Context | None = None) -> None:
        super().__init__(text.en, ctx)
        self.text = text


class Lacking(click.ClickException):
    """Something that is not on this machine."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


def require_extra(extra: str) -> None:
    """Raises Lacking where the packages of an extra are not installed, which says how they are."""
    if missing := lacking(extra):
        raise Lacking(missing)


class Amount(click.ParamType[int]):
    """A whole number of base units as people write it, such as `10Gbit/s` or `5ms`."""

    name = "amount"

    def __init__(self, known: dict[str, int]) -> None:
        self._known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The base units."""
        if isinstance(value, int):
            return value
        from suanmesh_cli.units import in_units

        amount = in_units(value, self._known)
        if amount is None:
            known = ", ".join(self._known)
            raise Misuse(
                Text(
                    f"{value[:40]!r} is no amount; write a number with one of {known}.",
                    f"{value[:40]!r} 不是数量；请写数字并带单位：{known}。",
                ),
                ctx,
            )
        return amount


class Duration(click.ParamType[float]):
    """A time to wait, in seconds or as `90s`, `5m`, `2h30m`: more than nothing, and not for ever."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds."""
        seconds = value if isinstance(value, float) else seconds_of(value)
        if not 0 < seconds <= TIMEOUT_S_MAX:  # which `nan` is not either
            raise Misuse(
                Text(
                    f"{value!r} is not a time of more than nothing and at most 30d, such as 90, 5m or 2h30m.",
                    f"{value!r} 不是大于零、至多 30d 的时长，例如 90、5m、2h30m。",
                ),
                ctx,
            )
        return seconds


def seconds_of(text: str) -> float:
    """The seconds `text` stands for; `nan` where it stands for none."""
    try:
        return float(text)
    except ValueError:
        parts = _PART.findall(text)
        whole = "".join(number + unit for number, unit in parts) == text.replace(" ", "")
        return sum(float(number) * UNITS_S[unit] for number, unit in parts) if parts and whole else math.nan


def language(environment: Mapping[str, str], flag: str = "") -> str:
    """`zh` or `en`: by flag, `SUANMESH_LANG`, or the locale."""
    locale = environment.get("LC_ALL") or environment.get("LC_MESSAGES") or environment.get("LANG") or ""
    wanted = flag or environment.get("SUANMESH_LANG") or locale
    return "zh" if wanted.lower().startswith("zh") else "en"


def flagged_language(arguments: Sequence[str]) -> str:
    """What `--lang` says, also where the rest of the command line cannot be read."""
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--lang":
            return value if equals else "".join(arguments[index + 1 : index + 2])
    return ""


def require_encoding(arguments: Sequence[str]) -> None:
    """Raises Misuse for what cannot be sent: names and filters travel as UTF-8."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = repr(argument[:60])
            raise Misuse(Text(f"{shown} is not UTF-8.", f"{shown} 不是 UTF-8。")) from None


def text_of(wrong: click.UsageError) -> Text:
    """What is wrong with a value, in both languages, without where it stands."""
    if isinstance(wrong, Misuse):
        return wrong.text
    return Text(wrong.message, _bounds(wrong) if isinstance(wrong, click.BadParameter) else _chinese(wrong))


def show(wrong: click.ClickException, lang: str) -> None:
    """Say on standard error what is wrong, and where the help is."""
    from suanmesh_cli import output

    if isinstance(wrong, click.exceptions.NoArgsIsHelpError):
        wrong.show()
        return
    ctx = wrong.ctx if isinstance(wrong, click.UsageError) else None
    if ctx is not None:
        usage, asking = ctx.get_usage(), f"{ctx.command_path} {ctx.help_option_names[-1]}"
        help_ = Text(f"{usage}\nTry '{asking}' for help.\n", f"{usage.replace('Usage:', '用法:', 1)}\n帮助: {asking}\n")
        output.warn(help_.of(lang))
    said = Text(f"Error: {wrong.format_message()}", f"{ERROR.zh}: {_chinese(wrong)}").of(lang)
    output.warn("\n".join(safe(line) for line in said.expandtabs(4).split("\n")))


def _chinese(wrong: click.ClickException) -> str:
    match wrong:
        case Misuse() | Lacking():
            return wrong.text.zh
        case click.MissingParameter():
            return f"缺少参数 {_hint(wrong)}"
        case click.BadParameter():
            return f"{_hint(wrong)} 的值无效：{_bounds(wrong)}"
        case click.NoSuchOption():
            return f"没有选项 {wrong.option_name}" + _perhaps(wrong.possibilities)
        case click.BadOptionUsage():
            return f"选项 {wrong.option_name} 需要一个值，或用法有误"
        case _:
            return f"用法有误：{wrong.format_message()}"


def _hint(wrong: click.BadParameter) -> str:
    return wrong.param.get_error_hint(wrong.ctx) if wrong.param is not None else "参数"


def _bounds(wrong: click.BadParameter) -> str:
    """What the parameter takes, by its type; else what click says."""
    kind = wrong.param.type if wrong.param is not None else None
    if isinstance(kind, click.Choice):
        return "只能是 " + "、".join(str(each) for each in kind.choices) + " 之一"
    if isinstance(kind, click.IntRange | click.FloatRange):
        return f"应在 {kind._describe_range()} 之内"
    return wrong.message


def _perhaps(names: Sequence[str] | None) -> str:
    return f"；是否指 {'、'.join(names)}？" if names else ""
