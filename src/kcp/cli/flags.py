"""Flags in groups, so that a long ``--help`` can be read; durations and paths as Kubernetes' components take them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import click

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+", re.ASCII)
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", re.ASCII)

SWITCH: Final[dict[str, Any]] = {
    "type": bool,
    "is_flag": False,
    "flag_value": True,
    "metavar": "[true|false]",
    "show_default": False,
}
"""What makes a flag one that is given as ``--name``, ``--name=true`` or ``--name=false``. Its help says the default."""


class DurationType(click.ParamType[float]):
    """``90s``, ``1h30m``, or plain seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        text = str(value)
        if text.isascii() and text.isdigit():
            return float(text)
        if not _DURATION.fullmatch(text):
            self.fail(f'"{text}" is not a duration such as 90s, 5m or 1h30m', param, ctx)
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


class Words(click.ParamType[tuple[str, ...]]):
    """``a,b,c``: a list with commas in between."""

    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        del param, ctx
        words = value if isinstance(value, tuple) else str(value).split(",")
        return tuple(stripped for word in words if (stripped := word.strip()))


class GroupedOption(click.Option):
    """An option that is shown under a heading."""

    def __init__(self, *args: Any, heading: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self.heading = heading


class GroupedCommand(click.Command):
    """A command whose help lists options under their headings, in the order in which they are declared."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        headings: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            # arguments have no help: the first line names them, and the text explains them
            if record is not None and record[1]:
                heading = getattr(param, "heading", "") or "Other"
                headings.setdefault(heading, []).append(record)
        for heading, records in headings.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def group(heading: str) -> Callable[..., Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """A ``click.option`` for the options under one heading."""

    def option(*names: str, **more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        more.setdefault("show_default", True)
        return click.option(*names, cls=GroupedOption, heading=heading, **more)

    return option
