"""Flags in groups, so that a long ``--help`` can be read; durations and paths as Kubernetes' components take them.

Flags that belong together fill in a dataclass of options. `OptionFlags` makes them from a table: the dataclass gives the type and
the default of each.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

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
    """``90s`` or ``1h30m``, as Go's ``time.ParseDuration`` reads it; 0 needs no unit."""

    name = "duration"

    def __init__(self, *, plain_seconds: bool = False) -> None:
        """``plain_seconds`` allows a number without a unit, for a flag that is one in kube-apiserver."""
        self._plain_seconds = plain_seconds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        text = str(value)
        if text.isascii() and text.isdigit():
            if int(text) and not self._plain_seconds:
                self.fail(f'"{text}" has no unit: {text}s are seconds, {text}h hours', param, ctx)
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


FILE: Final = click.Path(path_type=Path, dir_okay=False)
_TYPES: Final[dict[str, dict[str, Any]]] = {
    "str": {},
    "bool": SWITCH,
    "int": {"type": click.IntRange(min=0), "metavar": "N"},
    "float": {"type": DurationType(), "metavar": "DURATION"},
    "Path | None": {"type": FILE},
    "tuple[str, ...]": {"type": Words(), "metavar": "NAME,..."},
    "tuple[Path, ...]": {"type": FILE},
}
"""What ``click.option`` gets for the declared type of a field."""

Options = TypeVar("Options")
Command = Callable[..., Any]


class Flag(NamedTuple):
    """A flag for a field of options. ``more`` goes to ``click.option``, in place of what follows from the field's type."""

    field: str
    help: str
    more: Mapping[str, Any] = {}


class OptionFlags(Generic[Options]):
    """The flags of a dataclass of options, under one heading. A decorator that adds them to a command."""

    def __init__(self, heading: str, options: type[Options], table: Mapping[str, Flag]) -> None:
        """``table`` has a flag for each name; fields without one keep their defaults."""
        self._option = group(heading)
        self._options = options
        self._table = table
        self._fields = {field.name: field for field in dataclasses.fields(options)}  # type: ignore[arg-type]

    def __call__(self, command: Command) -> Command:
        """Add the flags to a command."""
        for name, flag in reversed(list(self._table.items())):
            command = self._made(name, flag)(command)
        return command

    def take(self, choices: dict[str, Any], **more: Any) -> Options:
        """Take the values of the flags out of those of a command. ``more`` are fields without a flag."""
        return self._options(
            **{flag.field: choices.pop(_parameter(name)) for name, flag in self._table.items()}, **more
        )

    def _made(self, name: str, flag: Flag) -> Callable[[Command], Command]:
        field = self._fields[flag.field]
        default = field.default
        choices: dict[str, Any] = {**_TYPES[str(field.type)], "default": default, **flag.more}
        text = flag.help
        if isinstance(default, bool):
            text = f"{text} [default: {str(default).lower()}]"
        elif isinstance(default, float) and isinstance(choices["type"], DurationType):
            choices["default"] = shown_duration(default)
        choices.setdefault("show_default", default not in (None, "", ()))
        return self._option(name, help=text, **choices)


def _parameter(flag: str) -> str:
    """The name under which click has the value of a flag."""
    return flag.removeprefix("--").replace("-", "_")


def shown_duration(seconds: float) -> str:
    """Return a duration as a user would write it: ``2m`` for 120 seconds."""
    for unit in ("h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:g}{unit}"
    return f"{seconds:g}s"
